"""metrics/towers.json as docs/reports/towers.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates

RESULT, PAGE = Path("metrics/towers.json"), Path("docs/reports/towers.md")
TOLERANCE = 1e-4  # of the largest value: export parity of the design


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    rows = result["rows"]
    failed = sum(not (row["backward"] and row["explanation"] and row["parity"] <= TOLERANCE) for row in rows)
    return templates.render(
        "sightline_lab.towers", "towers.md", planned=result["planned"], rows=rows, failed=failed,
        tolerance=TOLERANCE, worst=max(row["parity"] for row in rows),
    )  # fmt: skip
