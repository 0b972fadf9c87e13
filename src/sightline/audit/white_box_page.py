"""The page of the white-box part of an audit: one offline HTML file."""

from pathlib import Path

from sightline.audit.audit_page import ROOM, name
from sightline.audit.white_box import WhiteBox
from sightline.core import templates
from sightline.core.atomic_io import write_bytes
from sightline.core.plain_text import plain

PAGE = "white-box.html"


def write(path: Path, made: WhiteBox) -> None:
    strongest = max((share for row in made.atlas for share in row), default=0.0) or 1.0
    text = templates.render(
        ROOM, "white_box.html", made=made, metric_name=name, plain=plain, strongest=strongest
    )
    write_bytes(path, text.encode())
