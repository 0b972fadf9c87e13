"""Results of a search with their pictures: one self-contained offline HTML file. Nothing is fetched."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sightline.core import templates
from sightline.core.atomic_io import check_output, write_bytes
from sightline.data import images
from sightline.search.item_index import Hit, ItemIndex

MARK = b"<title>Sightline: "  # how every page begins
QUERY_SIDE = 256  # pixels of the picture that was searched with


def write(path: Path, query: str, picture: np.ndarray | None, index: ItemIndex, hits: Sequence[Hit]) -> None:
    """Write the page for a query in words, or for a `picture` of that name (uint8 [Y, X, 3], of QUERY_SIDE
    pixels at most).

    Raises ArtifactError where the user's own file is in its place."""
    check_output(path, MARK)
    asked = None if picture is None else images.picture_url(picture)
    small = [index.thumbnail(hit.entry) for hit in hits]
    pictures = [None if jpeg is None else images.data_url(jpeg, "jpeg") for jpeg in small]
    text = templates.render(
        "sightline.search", "results.html", query=query, asked=asked, what=index.what,
        results=list(zip(hits, pictures, strict=True)),
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())
