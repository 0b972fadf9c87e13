"""A grid of `dvc exp run --queue` as a table and a picture, read from `dvc exp show`."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.cli import readme_tables

METRICS = "plots/finetune/vlm/metrics.json"
METRIC = "val_accuracy"


class SearchError(ValueError):
    """Too few experiments to compare; the message says how to get more."""


@dataclass(frozen=True)
class Search:
    """The finished experiments, best first; `params` are the leaves of params.yaml in which they differ."""

    params: list[str]
    runs: list[dict[str, Any]]  # "experiment", every param, METRIC


def show(checkout: Path) -> list[dict]:
    """`dvc exp show --json`: the experiments on top of the last commit."""
    done = subprocess.run(["dvc", "exp", "show", "--json"], cwd=checkout, capture_output=True, text=True)
    if done.returncode:
        raise SearchError(f"`dvc exp show --json` ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def read(rows: list[dict]) -> Search:
    """The search in the rows of `show`. Raises SearchError for fewer than two finished experiments.

    Running, queued and failed experiments are left out, and those that stopped before fine-tuning.
    """
    finished = []
    for experiment in (e for row in rows for e in row.get("experiments") or []):
        last, executor = experiment["revs"][0], experiment.get("executor") or {}
        if executor.get("state") not in (None, "success") or not last.get("data"):
            continue
        value = last["data"]["metrics"].get(METRICS, {}).get("data", {}).get(METRIC)
        if value is not None:
            leaves = _leaves(last["data"]["params"]["params.yaml"]["data"])
            finished.append((experiment["name"], leaves, value))
    if len(finished) < 2:
        raise SearchError(
            f"{len(finished)} finished experiments on top of this commit, expected at least 2; queue some as "
            "docs/reports/search.md shows, and wait for `dvc queue status`"
        )
    every = sorted({name for _, leaves, _ in finished for name in leaves})
    params = [name for name in every if len({json.dumps(leaves.get(name)) for _, leaves, _ in finished}) > 1]
    runs = [
        {"experiment": name, **{param: leaves.get(param) for param in params}, METRIC: round(value, 3)}
        for name, leaves, value in finished
    ]
    return Search(params, sorted(runs, key=lambda run: (-run[METRIC], run["experiment"])))


def markdown(search: Search) -> str:
    text = readme_tables.row("experiment", *(f"`{param}`" for param in search.params), "accuracy on `val`, %")
    text += readme_tables.row("---", *["---:"] * (len(search.params) + 1))
    for run in search.runs:
        text += readme_tables.row(
            run["experiment"], *(f"{run[param]}" for param in search.params), f"{run[METRIC]:.1f}"
        )
    return text


def _leaves(tree: dict, above: str = "") -> dict[str, Any]:
    """Leaves by dotted name; lists count as leaves."""
    leaves = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            leaves |= _leaves(value, f"{above}{name}.")
        else:
            leaves[f"{above}{name}"] = value
    return leaves
