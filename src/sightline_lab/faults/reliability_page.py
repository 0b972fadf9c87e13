"""metrics/reliability.json as docs/reports/reliability.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates
from sightline_lab.faults.battery import CONFIDENCE, Outcome, Promise
from sightline_lab.faults.promises import PROMISES

RESULT, PAGE = Path("metrics/reliability.json"), Path("docs/reports/reliability.md")


def record(promise: Promise, outcome: Outcome, seed: int) -> dict[str, Any]:
    """What the JSON holds of a promise."""
    return {
        "row": promise.row, "title": promise.title, "holds": promise.holds, "unit": promise.unit,
        "seed": seed,
        "cases": outcome.cases, "tried": outcome.tried, "failed": outcome.failed, "failures": outcome.kept,
        "all": outcome.all, "bound": float(f"{outcome.bound():.2g}"), "seconds": outcome.seconds,
    }  # fmt: skip


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown; a promise that no run has tried stands there as that."""
    tried = {row["row"]: row for row in result["rows"]}
    promised = {
        number: {"row": number, "title": one.title, "holds": one.holds, "tried": None}
        for number, one in PROMISES.items()
    }
    rows = [row for _, row in sorted((promised | tried).items())]
    return templates.render(
        "sightline_lab.faults", "reliability.md", rows=rows, confidence=100 * CONFIDENCE,
        failed=[row for row in rows if row["tried"] and row["failed"]],
    )  # fmt: skip
