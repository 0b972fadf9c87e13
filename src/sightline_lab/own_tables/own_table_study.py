"""What a user types over one table, from `sightline init` to the first search, as processes of their own."""

import csv
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from sightline.core.artifacts import read_json, write_json

CLI = (sys.executable, "-c", "from sightline.cli.main import main; main()")
DVC = (sys.executable, "-m", "dvc")
FIRST = 3  # results of the search that are kept
RETRIEVED = ("r1", "r10")
SHOWN = ("shipped", "chance", "ceiling")
Echo = Callable[[str], None]


def run(table: Path, options: Sequence[str], query: str, home: Path, echo: Echo) -> dict[str, Any]:
    """Make a repository for the table in `home`, which must not exist, build it and search it once.

    Returns the minutes of each command, the share of the machine that other programs took meanwhile, the
    figures of `test` and the first results. RuntimeError, with the last lines of the output, where a command
    other than `dvc repro` fails; the gate may fail.
    """
    result: dict[str, Any] = {"query": query, "options": list(options), "minutes": {}}
    env = os.environ | {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}
    steps = {
        "init": [*CLI, "init", str(home), "--table", str(table), *options],
        "estimate": [*CLI, "estimate"],
        "repro": [*DVC, "repro"],
        "search": [*CLI, "search", query],
    }
    start, others = time.monotonic(), _others_cpu_seconds()
    for name, command in steps.items():
        began = time.monotonic()
        folder = home.parent if name == "init" else home
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
        result["minutes"][name] = round((time.monotonic() - began) / 60, 2)
        echo(f"{table.name}: {name} {result['minutes'][name]} min")
        if done.returncode and not (name == "repro" and (home / "metrics" / "gate").is_dir()):
            raise RuntimeError(f"{name}: " + "\n".join((done.stdout + done.stderr).splitlines()[-20:]))
        if name == "estimate":
            result["estimated"] = int(_found(r"about (\d+) min on this machine", done.stdout))
        if name == "search":
            result["found"] = re.findall(r"^ *\d+  [\d.]+  (.+)$", done.stdout, re.MULTILINE)[:FIRST]
    core_seconds = (time.monotonic() - start) * (psutil.cpu_count() or 1)
    result["others_share"] = round(max(0.0, _others_cpu_seconds() - others) / core_seconds, 2)
    return result | figures(home)


def _others_cpu_seconds() -> float:
    """CPU time of the machine that neither this process nor what it ran to the end took."""
    times = psutil.cpu_times()
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return times.user + times.nice + times.system - sum(used.ru_utime + used.ru_stime for used in own)


def figures(home: Path) -> dict[str, Any]:
    """Of a built repository: items by split, short questions an item, the accuracy of answers, retrieval
    beside chance and the ceiling of equal captions, and what the gate said."""
    raw, vqa = (read_json(home / "data" / name / "config.json") for name in ("raw", "vqa"))
    counts = {name: n for name, n in vqa["counts"]["train"].items() if not name.startswith("answers_")}
    answered = read_json(home / "metrics" / "summary.json")["quality"]["shipped"]["test"]
    checks = read_json(home / "metrics" / "gate" / "gate.json")["checks"]
    train = raw["items"]["train"]
    return {
        "items": raw["items"],
        "questions_per_item": round(sum(n for name, n in counts.items() if name != "describe") / train, 2),
        "accuracy": answered.get("vqa_accuracy"),
        "retrieval": _retrieval(home),
        "gate": {
            outcome: sum(check["passed"] is passed for check in checks)
            for outcome, passed in (("passed", True), ("failed", False), ("not tested", None))
        },
    }


def _retrieval(home: Path) -> dict[str, dict[str, dict[str, float | None]]]:
    """Text to image on test: metric -> shipped, chance or ceiling -> value and its interval, percent."""
    with open(home / "metrics" / "evaluate" / "retrieval.csv", encoding="utf-8", newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if (row["split"], row["type"]) == ("test", "text_to_image")
        ]
    told: dict[str, dict[str, dict[str, float | None]]] = {metric: {} for metric in RETRIEVED}
    for row in rows:
        if row["metric"] in told and row["variant"] in SHOWN:
            values = {name: float(row[name]) if row[name] else None for name in ("value", "low", "high")}
            told[row["metric"]][row["variant"]] = values
    return told


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"nothing like {pattern!r} in what the command said:\n{text[-2000:]}")
    return match[1]


def merge(path: Path, name: str, result: dict[str, Any]) -> None:
    """Put the result of one table into the JSON of all."""
    tables = read_json(path)["tables"] if path.is_file() else {}
    write_json(path, {"tables": tables | {name: result}})
