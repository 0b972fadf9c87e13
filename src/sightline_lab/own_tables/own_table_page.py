"""metrics/own_tables.json as docs/reports/own-tables.md."""

from pathlib import Path
from typing import Any

from sightline.core import artifacts, templates
from sightline.core.atomic_io import write_bytes

RESULT, PAGE = Path("metrics/own_tables.json"), Path("docs/reports/own-tables.md")


def write(root: Path) -> None:
    """The page from the JSON alone."""
    (root / PAGE).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(root / PAGE, page(artifacts.read_json(root / RESULT)).encode())


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    return templates.render("sightline_lab.own_tables", "own-tables.md", tables=result["tables"])
