"""A page of docs/reports, with its picture where it has one, from the committed JSON alone."""

from pathlib import Path
from typing import Any, Protocol

from sightline.core import artifacts
from sightline.core.atomic_io import write_bytes


class ReportPage(Protocol):
    """What a module `<report>_page.py` has; one with a PICTURE also has `picture(result, path)`, which draws
    it."""

    RESULT: Path
    PAGE: Path

    def page(self, result: Any, /) -> str:
        """The whole page as Markdown."""


def write(root: Path, report: ReportPage) -> None:
    """Write the page, and the picture, into the checkout `root`. Raises ArtifactError for a damaged JSON."""
    result = artifacts.read_json(root / report.RESULT)
    (root / report.PAGE).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(root / report.PAGE, report.page(result).encode())
    if hasattr(report, "PICTURE"):
        report.picture(result, root / report.PICTURE)
