"""metrics/own_tables.json as docs/reports/own-tables.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates

RESULT, PAGE = Path("metrics/own_tables.json"), Path("docs/reports/own-tables.md")


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    return templates.render("sightline_lab.own_tables", "own-tables.md", tables=result["tables"])
