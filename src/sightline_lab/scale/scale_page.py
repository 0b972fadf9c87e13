"""metrics/scale.json as docs/reports/scale-data.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates
from sightline_lab.scale.scale_study import STAGES

RESULT, PAGE = Path("metrics/scale.json"), Path("docs/reports/scale-data.md")


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown; without the stages that were not there when it was measured."""
    sizes = result["sizes"]
    stages = [stage for stage in STAGES if any(stage in size["stages"] for size in sizes)]
    return templates.render(
        "sightline_lab.scale", "scale-data.md", sizes=sizes, stages=stages, growth=_growth
    )


def _growth(sizes: list[dict[str, Any]], stage: str) -> str:
    """KiB that a row adds, from the smallest to the largest number of rows that a stage ran over."""
    ran = [size for size in sizes if stage in size["stages"]]
    if len(ran) < 2:
        return "-"
    more = ran[-1]["stages"][stage]["peak_mib"] - ran[0]["stages"][stage]["peak_mib"]
    return f"{1024 * more / (ran[-1]['rows'] - ran[0]['rows']):.1f}"
