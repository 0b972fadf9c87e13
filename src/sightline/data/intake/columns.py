"""Which column of a table holds what: as given, else told from its usual names.

A name is compared without case, spaces and punctuation: `Image URL` and `image_url` are the same.
"""

import hashlib
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sightline.core.params.data_params import ColumnParams
from sightline.data.intake.rows import Location, Question, Refusal, Row
from sightline.data.intake.splits import misspelled, split_name

EMPTY = ("", "nan", "NaN", "NAN")  # as other programs write a missing value
# What pandas reads as one (read_csv, na_values), but in an answer: "none" may well be what was asked for.
MISSING = frozenset(
    (*EMPTY, "-nan", "-NaN", "NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA", "null", "NULL", "None",
     "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN")
)  # fmt: skip
TITLES = ("title", "name", "productname", "productdisplayname", "producttitle", "itemname", "headline",
          "titel", "bezeichnung", "artikelname", "produktname")  # fmt: skip
USUAL = {  # the first name that the table has is taken
    "id": ("id", "itemid", "productid", "articleid", "articlenumber", "sku", "asin", "uid", "uuid", "imageid",
           "imgid", "artikelnummer", "artikelnr", "artnr"),
    "image": ("image", "imageurl", "imagepath", "imagefile", "imagefilename", "imagename", "img", "imgurl",
              "imgpath", "picture", "pictureurl", "picturepath", "photo", "photourl", "photopath", "filename",
              "filepath", "file", "thumbnail", "path", "url", "bild",
              "bildurl", "bildpfad", "bilddatei", "foto", "dateiname"),
    "split": ("split", "subset", "partition"),
    "question": ("question", "questions", "frage"),
    "answer": ("answers", "answer", "antwort"),
}  # fmt: skip
CAPTION = re.compile(
    r"(captions?|texts?|txt|sentences?|comments?|descriptions?|desc|alttext|alt|imagecaption|"
    r"productdescription|tags|keywords|(produkt)?beschreibung|bildunterschrift|stichworte|schlagworte)\d*"
)
LABEL = re.compile(r"label|labels|class|category|cls")  # a caption only where there is nothing better
Cells = dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """The names of the columns as the table has them; '' for what it lacks."""

    id: str
    image: str
    captions: tuple[str, ...]
    split: str
    question: str
    answer: str
    title: str = ""

    def sentence(self) -> str:
        """What was taken for what, for the log."""
        singles = ("id", "image", "split", "question", "answer")
        parts = [f"{name} = {getattr(self, name)}" for name in singles if getattr(self, name)]
        parts.insert(2 if self.id and self.image else 1, f"captions = {', '.join(self.captions) or 'none'}")
        return "; ".join(parts)


def guess(header: Sequence[str]) -> ColumnParams:
    """The columns by their usual names; '' and an empty list where none is recognised."""
    plain = {_plain(name): name for name in reversed(header)}
    found = {
        role: next((plain[name] for name in names if name in plain), "") for role, names in USUAL.items()
    }
    if not (found["question"] and found["answer"]):
        found["question"] = found["answer"] = ""
    free = [name for name in header if name not in found.values()]
    titles = [plain[name] for name in TITLES if plain.get(name) in free][:1]
    captions = titles + [name for name in free if CAPTION.fullmatch(_plain(name)) and name not in titles]
    if not captions and not found["question"]:
        captions = [name for name in free if LABEL.fullmatch(_plain(name))][:1]
    return ColumnParams(captions=tuple(captions), **found)


def resolve(given: ColumnParams, header: Sequence[str], table: str) -> Columns:
    """The given columns, the others guessed. Raises ValueError, naming the columns that are there, for a
    column that the table lacks, and where neither captions nor questions are found."""
    listed = ", ".join(header)[:500] or "none"
    taken = {name for name in (given.id, given.image, given.split, given.question, given.answer) if name}
    told = guess([name for name in header if name not in taken | set(given.captions)])
    chosen: dict[str, str] = {}
    for role in USUAL:
        chosen[role] = _held(getattr(given, role), header, f"data.columns.{role}", table) or getattr(
            told, role
        )
    captions = tuple(_held(name, header, "data.columns.captions", table) for name in given.captions)
    if bool(chosen["question"]) != bool(chosen["answer"]):
        raise ValueError(
            f"{table}: data.columns.question and data.columns.answer go together; got one of them"
        )
    captions = captions or told.captions
    if not captions and not chosen["question"]:
        raise ValueError(
            f"{table}: no column with captions was recognised among its columns: {listed}; "
            "give its name: --caption NAME, or -S 'data.columns.captions=[NAME]'"
        )
    title = next((name for name in captions if _plain(name) in TITLES), "")
    return Columns(captions=captions, title=title, **chosen)


def to_row(where: str, cells: Cells, columns: Columns, located: tuple[Location, str]) -> Row | Refusal:
    """A record as a row. `located`: location and digest of its picture."""
    id = first(cells.get(columns.id)) if columns.id else ""
    if columns.id and not id:
        return Refusal(where, "empty_id", f"{where}: no id in the column {columns.id}")
    text = first(cells.get(columns.split)) if columns.split else ""
    split = split_name(text)
    if text and not split:
        return Refusal(id or where, "bad_split", f"{where}: {text[:100]!r} is no name of a split")
    if meant := misspelled(split):
        return Refusal(id or where, "bad_split", f"{where}: {text[:100]!r}; did you mean {meant!r}?")
    questions: tuple[Question, ...] = ()
    if columns.question:
        asked, answers = texts(cells.get(columns.question)), texts(cells.get(columns.answer), EMPTY)
        questions = tuple(Question(question, tuple(answers)) for question in asked if answers)
    return Row(
        where,
        tuple(text for name in columns.captions for text in texts(cells.get(name))),
        id,
        *located,
        split,
        first(cells.get(columns.title)) if columns.title else "",
        questions,
    )


def texts(cell: Any, missing: Collection[str] = MISSING) -> list[str]:
    """The texts of a cell: of a string one, of a list several; `{"raw": ...}` is the form of Karpathy.
    missing: words that stand for no text."""
    if cell is None or isinstance(cell, bytes) or (isinstance(cell, float) and math.isnan(cell)):
        return []
    if isinstance(cell, list | tuple):
        return [text for inner in cell for text in texts(inner, missing)]
    if isinstance(cell, dict):
        named = (cell[name] for name in ("raw", "caption", "text", "answer") if name in cell)
        return texts(next(named, None), missing)
    text = str(cell)
    return [text] if text.strip() not in missing else []


def first(cell: Any) -> str:
    """The first text of a cell, or ''."""
    return next(iter(texts(cell)), "").strip()


def digest_of(data: bytes) -> str:
    """The name of a picture that has none."""
    return hashlib.sha256(data).hexdigest()[:32]


def _held(name: str, header: Sequence[str], key: str, table: str) -> str:
    if not name or name in header:
        return name
    alike = [column for column in header if _plain(column) == _plain(name)]
    if len(alike) == 1:
        return alike[0]
    listed = ", ".join(header)[:500] or "none"
    raise ValueError(f"{key}: got {name!r}, expected one of the columns of {table}: {listed}")


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
