"""A grid of `dvc exp run --queue` as a table and a picture: what `dvc exp show` knows of the experiments."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.cli import readme_tables

METRICS = "plots/finetune/vlm/metrics.json"
METRIC = "val_accuracy"


class SearchError(ValueError):
    """There is nothing to compare; the message says how to get it."""


@dataclass(frozen=True)
class Search:
    """The finished experiments, best first; `knobs` are the leaves of params.yaml in which they differ."""

    knobs: list[str]
    runs: list[dict[str, Any]]  # "experiment", every knob, METRIC


def show(checkout: Path) -> list[dict]:
    """`dvc exp show --json`: the experiments on top of the last commit."""
    done = subprocess.run(["dvc", "exp", "show", "--json"], cwd=checkout, capture_output=True, text=True)
    if done.returncode:
        raise SearchError(f"`dvc exp show --json` ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def read(shown: list[dict]) -> Search:
    """The search in what DVC shows. Raises SearchError for fewer than two finished experiments.

    Running, queued and failed experiments are left out, and those that stopped before fine-tuning.
    """
    found = []
    for experiment in (e for row in shown for e in row.get("experiments") or []):
        last, executor = experiment["revs"][0], experiment.get("executor") or {}
        if executor.get("state") not in (None, "success") or not last.get("data"):
            continue
        value = last["data"]["metrics"].get(METRICS, {}).get("data", {}).get(METRIC)
        if value is not None:
            leaves = _leaves(last["data"]["params"]["params.yaml"]["data"])
            found.append((experiment["name"], leaves, value))
    if len(found) < 2:
        raise SearchError(
            f"{len(found)} finished experiments on top of this commit, expected at least 2; queue some as "
            "docs/reports/search.md shows, and wait for `dvc queue status`"
        )
    every = sorted({name for _, leaves, _ in found for name in leaves})
    knobs = [name for name in every if len({json.dumps(leaves.get(name)) for _, leaves, _ in found}) > 1]
    runs = [
        {"experiment": name, **{knob: leaves.get(knob) for knob in knobs}, METRIC: round(value, 3)}
        for name, leaves, value in found
    ]
    return Search(knobs, sorted(runs, key=lambda run: (-run[METRIC], run["experiment"])))


def markdown(search: Search) -> str:
    text = readme_tables.row("experiment", *(f"`{knob}`" for knob in search.knobs), "accuracy on `val`, %")
    text += readme_tables.row("---", *["---:"] * (len(search.knobs) + 1))
    for run in search.runs:
        text += readme_tables.row(
            run["experiment"], *(f"{run[knob]}" for knob in search.knobs), f"{run[METRIC]:.1f}"
        )
    return text


def _leaves(tree: dict, above: str = "") -> dict[str, Any]:
    """Leaves by dotted name; lists count as leaves."""
    found = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= _leaves(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found
