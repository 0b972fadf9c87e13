"""metrics/safety.json as docs/reports/safety.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates

RESULT, PAGE = Path("metrics/safety.json"), Path("docs/reports/safety.md")


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    return templates.render(
        "sightline_lab.safety", "safety.md", result=result, test=result["test"],
        own=result["own"], captions=result["captions"],
        cost=result["bundle"], cell=_cell, both=_both, verdict=_verdict,
    )  # fmt: skip


def _verdict(rate: dict[str, Any], most: float | None = None, least: float | None = None) -> str:
    reached = rate["value"] <= most if most is not None else rate["value"] >= (least or 0.0)
    return "reached" if reached else "**missed**"


def _cell(one: dict[str, Any]) -> str:
    return f"{one['value']:.1f} [{one['low']:.1f}, {one['high']:.1f}]"


def _both(rate: dict[str, Any]) -> str:
    by_wording = rate["by_wording"]
    return f"{rate['n']:,} | {rate['wordings']} | {rate['acted']} | {_two(rate)} | {_two(by_wording)}"


def _two(one: dict[str, Any]) -> str:
    return f"{one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
