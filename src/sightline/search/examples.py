"""The example pictures of a bundle, with questions that they can answer.

examples/examples.json       the file, the caption and the questions of each
examples/<id>.png            the picture as models read it
examples/displayed/<id>.jpg  the same picture for people
"""

from pathlib import Path

import numpy as np

from sightline.core import artifacts, typed_json
from sightline.data import images
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.data.shards import Items

FOLDER, TABLE, DISPLAYED = "examples", "examples.json", "displayed"
COUNT = 6
CURE = "rerun the index stage (`dvc repro index`), or fetch the bundle again"
SIDE = 512  # pixels of a displayed one


class Example(typed_json.Described):
    """A row of examples.json; `file`: the name of the picture beside it."""

    caption: str
    file: str
    questions: list[str]


def write(bundle: Path, items: Items, lines: np.ndarray) -> None:
    """Write the pictures of the first `lines` of rendered scenes."""
    folder = bundle / FOLDER
    (folder / DISPLAYED).mkdir(parents=True)
    rows = []
    for item in (items[line] for line in lines[:COUNT]):
        picture = folder / f"{item['id']}.png"
        picture.write_bytes(items.image_bytes(item))
        _for_people(picture).write_bytes(images.encode(items.displayed(item, SIDE), "jpg")[0])
        questions = [DESCRIBE, *(f"Is there a {part['kind']}?" for part in item["scene"]["objects"][:2])]
        rows.append({"caption": item["captions"][0], "file": picture.name, "questions": questions})
    artifacts.write_json(folder / TABLE, rows)


def read(bundle: Path) -> list[tuple[Path, Example]]:
    """The example pictures of a bundle that was verified, with their captions and questions; none of a bundle
    without any. Raises ValueError for a file of another form, and for a picture that is not beside it."""
    table = bundle / FOLDER / TABLE
    if not table.is_file():
        return []
    rows = typed_json.read(table, list[Example], CURE)
    for row in rows:
        path = table.parent / row.file
        if Path(row.file).name != row.file or not path.is_file():
            raise ValueError(f"{table}: {typed_json.shortened(row.file)} is no file beside it; {CURE}")
    return [(table.parent / row.file, row) for row in rows]


def displayed(picture: Path) -> Path:
    """The file to display of a picture: the one for people where it is such an example, else itself."""
    for_people = _for_people(picture)
    return for_people if picture.parent.name == FOLDER and for_people.is_file() else picture


def _for_people(picture: Path) -> Path:
    return picture.parent / DISPLAYED / f"{picture.stem}.jpg"
