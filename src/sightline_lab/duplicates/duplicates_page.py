"""metrics/duplicates.json as docs/reports/duplicates.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates

RESULT, PAGE = Path("metrics/duplicates.json"), Path("docs/reports/duplicates.md")


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    return templates.render("sightline_lab.duplicates", "duplicates.md", result=result)
