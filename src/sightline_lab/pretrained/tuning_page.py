"""metrics/dual_encoder.json as docs/reports/dual-encoder.md."""

from pathlib import Path
from typing import Any

from sightline.core import artifacts, templates
from sightline.core.atomic_io import write_bytes

RESULT, PAGE = Path("metrics/dual_encoder.json"), Path("docs/reports/dual-encoder.md")


def write(root: Path) -> None:
    """The page from the JSON alone."""
    (root / PAGE).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(root / PAGE, page(artifacts.read_json(root / RESULT)).encode())


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    return templates.render("sightline_lab.pretrained", "dual-encoder.md", result=result)
