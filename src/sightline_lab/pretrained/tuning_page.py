"""metrics/dual_encoder.json as docs/reports/dual-encoder.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates

RESULT, PAGE = Path("metrics/dual_encoder.json"), Path("docs/reports/dual-encoder.md")


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    return templates.render("sightline_lab.pretrained", "dual-encoder.md", result=result)
