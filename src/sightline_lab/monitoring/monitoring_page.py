"""metrics/monitoring.json as docs/reports/monitoring.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates

RESULT, PAGE = Path("metrics/monitoring.json"), Path("docs/reports/monitoring.md")
SIGNS = {
    "object word": "probability of the least likely object word (served)",
    "mean token": "geometric mean of the tokens' probabilities",
    "whole description": "probability of the whole description",
    "attention to the picture": "share of the attention on the picture (needs maps)",
}  # fmt: skip


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    return templates.render(
        "sightline_lab.monitoring", "monitoring.md", result=result, signs=SIGNS, verdict=_verdict(result),
        cell=_cell,
    )  # fmt: skip


def _verdict(result: dict[str, Any]) -> str:
    """Whether the proxy is earned: in every split it tells invented objects apart better than chance."""
    served = {one["split"]: one["auroc"]["object word"] for one in result["splits"]}
    figures = ", ".join(f"{_cell(found)} on `{split}`" for split, found in served.items())
    if all(found is not None and found["low"] > 50.0 for found in served.values()):
        return f"**Doubtful descriptions are a proxy for invented objects**: AUROC {figures} (50 is chance)."
    return f"**No proxy is earned**: AUROC of the one that is served is {figures} (50 is chance)."


def _cell(found: dict[str, float] | None) -> str:
    if found is None:
        return "not known"
    return f"{found['value']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"
