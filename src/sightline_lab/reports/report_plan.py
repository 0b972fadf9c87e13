"""lab/reports.yaml: which command writes which page, what it reads, and whether it is out of date."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sightline.core.artifacts import read_json

PLAN, STATE = Path("lab/reports.yaml"), Path("metrics/reports.json")
KEYS = {"commands", "inputs", "outputs", "minutes"}


class PlanError(ValueError):
    """An invalid plan or an unknown report: what, where, expected."""


@dataclass(frozen=True)
class Report:
    """One line of the plan. `minutes`: wall time that is stated for it, or None."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    minutes: float | None

    def digest(self, checkout: Path, locked: dict[str, str]) -> str:
        """sha256 over the commands and the content of every input; an absent input counts as such."""
        parts = [
            list(map(list, self.commands)),
            *([name, _content(checkout, name, locked)] for name in self.inputs),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read(checkout: Path) -> tuple[list[Report], dict[str, str]]:
    """The reports in their order, and the pages that come about elsewhere, with how."""
    path = checkout / PLAN
    try:
        plan = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PlanError(f"{path}: not found; run the command in a checkout of Sightline") from error
    return [_report(path, name, entry) for name, entry in plan["reports"].items()], plan["elsewhere"]


def _report(path: Path, name: str, entry: dict[str, Any]) -> Report:
    if unknown := set(entry) - KEYS or {"commands", "inputs", "outputs"} - set(entry):
        names = ", ".join(sorted(unknown))
        raise PlanError(f"{path}: reports.{name}: {names} is unknown or missing; known: {sorted(KEYS)}")
    commands = tuple(tuple(str(word) for word in command) for command in entry["commands"])
    return Report(name, commands, tuple(entry["inputs"]), tuple(entry["outputs"]), entry.get("minutes"))


def choose(reports: list[Report], only: Iterable[str]) -> list[Report]:
    """The named ones, in the plan's order; all of them without names."""
    wanted = set(only)
    if unknown := wanted - {report.name for report in reports}:
        names = ", ".join(report.name for report in reports)
        raise PlanError(f"--only {', '.join(sorted(unknown))}: no such report in {PLAN}; there are {names}")
    return [report for report in reports if report.name in wanted or not wanted]


def remembered(checkout: Path) -> dict[str, Any]:
    """The record of earlier runs: name -> digest of the inputs, minutes, core_seconds."""
    return read_json(checkout / STATE) if (checkout / STATE).exists() else {}


def locked_outs(checkout: Path) -> dict[str, str]:
    """Path -> hash of every out in dvc.lock, so that data which is not pulled has a digest too."""
    path = checkout / "dvc.lock"
    lock = (
        YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        if path.exists()
        else {"stages": {}}
    )
    outs = (out for stage in lock["stages"].values() for out in stage.get("outs", []))
    return {out["path"]: out["md5"] for out in outs}


def _content(checkout: Path, name: str, locked: dict[str, str]) -> str:
    """The hash in dvc.lock of an out; else the sha256 of a file, or of all files below a folder."""
    if name in locked:
        return locked[name]
    path = checkout / name
    if not path.exists():
        return "missing"
    files = (
        [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file() and f.suffix != ".pyc")
    )
    digests = [
        (f.relative_to(checkout).as_posix(), hashlib.sha256(f.read_bytes()).hexdigest()) for f in files
    ]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def reason(checkout: Path, report: Report, state: dict[str, Any], digest: str) -> str | None:
    """Why a report is out of date, or None."""
    if absent := [name for name in report.outputs if not (checkout / name).exists()]:
        return f"{', '.join(absent)} missing"
    if report.name not in state:
        return "no record of its inputs"
    return None if state[report.name]["inputs"] == digest else "inputs or command changed"


def minutes(report: Report, state: dict[str, Any]) -> float | None:
    """Wall time to expect: as last measured here, else as stated."""
    return state.get(report.name, {}).get("minutes", report.minutes)
