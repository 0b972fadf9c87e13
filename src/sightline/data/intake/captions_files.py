"""Caption files of Flickr8k, Flickr30k and COCO in the forms that go round: one row a caption."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.core import runtime
from sightline.data.intake.photo_files import PhotoFiles
from sightline.data.intake.pictures import PictureFolder
from sightline.data.intake.rows import Refusal, Row
from sightline.data.intake.splits import NAMES, split_in, split_name
from sightline.data.intake.text_encoding import encoding_of

LISTING = re.compile(r"(?:Flickr_8k\.)?(train|dev|val|test)(?:Images)?\.txt")
Rows = Iterator[Row | Refusal]
Find = Callable[..., str]  # (name, *folders) -> path of the photo, or ''
Split = Callable[[str], str | None]  # photo -> its split, '' if unknown, None if it is not used
Reader = Callable[[list[str], str, Find, Split], Rows]


def karpathy(data: dict, file_name: str, find: Find) -> Rows:
    """The split file of A. Karpathy, of any of the three (dataset_coco.json): `restval` is train."""
    for entry in data["images"]:
        name, place = str(entry["filename"]), str(entry.get("filepath", ""))
        id = str(entry["cocoid"]) if "cocoid" in entry else PurePosixPath(name).stem
        path = find(name, place) if place else find(name)
        for sentence in entry["sentences"]:
            yield row(id, path, name, file_name, str(sentence["raw"]), split_name(str(entry["split"])))


def token_file(lines: list[str], file_name: str, find: Find, split: Split) -> Rows:
    """`<photo>#<number>`, tab, caption: Flickr8k.token.txt, results_20130124.token."""
    for number, line in enumerate(lines, 1):
        key, tab, caption = line.partition("\t")
        name, mark, index = key.rpartition("#")
        if not (tab and mark and name and index.strip().isdigit() and caption.strip()):
            yield Refusal(
                f"line {number}", "bad_row", f"{file_name}: expected <photo>#<number>, tab, caption"
            )
            continue
        if (of := split(name)) is not None:
            yield row(PurePosixPath(name).stem, find(name), name, file_name, caption, of)


def comma_file(lines: list[str], file_name: str, find: Find, split: Split) -> Rows:
    """Kaggle's captions.txt (`image,caption`) and results.csv (`image_name| comment_number| comment`)."""
    delimiter = "|" if "|" in lines[0] else ","
    fields = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "|" else csv.QUOTE_MINIMAL
    )
    next(fields)
    for number, cells in enumerate(fields, 2):
        name = cells[0].strip() if cells else ""
        if len(cells) < 2 or not name or not cells[-1].strip():
            yield Refusal(f"line {number}", "bad_row", f"{file_name}: expected a photo and its caption")
            continue
        if (of := split(name)) is not None:
            yield row(PurePosixPath(name).stem, find(name), name, file_name, cells[-1], of)


def coco(data: dict, file_name: str, find: Find, split: str | None = None) -> Rows:
    """Captions of a COCO file, by photo and number; of one without captions (instances), the categories'
    names. Photos are looked for beside the file and in the folders that it names."""
    images = {image["id"]: str(image["file_name"]) for image in data["images"]}
    place = PurePosixPath(file_name)
    near = [place.parent.as_posix(), re.sub(r"^[a-z_]+?_(?=train|val|test)", "", place.stem)]
    released = split is not None  # its photos have numbers of their own, those of other files their paths
    split = split_in(file_name) if split is None else split
    for image_id, texts in sorted(_texts(data).items(), key=lambda pair: (str(type(pair[0])), pair[0])):
        name = images.get(image_id)
        if name is None:
            yield from (
                Refusal(str(image_id), "no_image", f"{file_name}: no photo {image_id}") for _ in texts
            )
            continue
        path = find(name, *near)
        id = str(image_id) if released or not path else PurePosixPath(path).with_suffix("").as_posix()
        for text in texts:
            yield row(id, path, name, file_name, text, split)


def _texts(data: dict) -> dict[Any, list[str]]:
    """Photo -> its captions by number, or its categories."""
    categories = {entry["id"]: str(entry["name"]) for entry in data.get("categories", [])}
    captioned = any("caption" in annotation for annotation in data["annotations"])
    found: dict[Any, list[str]] = {}
    for annotation in sorted(data["annotations"], key=lambda it: it["id"]):
        if captioned:
            found.setdefault(annotation["image_id"], []).append(str(annotation.get("caption", "")))
        elif annotation.get("category_id") in categories:
            found.setdefault(annotation["image_id"], []).append(categories[annotation["category_id"]])
    return found if captioned else {key: [", ".join(sorted(set(names)))] for key, names in found.items()}


def row(id: str, path: str, name: str, file_name: str, text: str, split: str) -> Row | Refusal:
    """One caption of a photo, or the refusal where the photo is not there."""
    if not path:
        return Refusal(id, "no_image", f"{file_name}: there is no photo {name}")
    return Row(f"{file_name}, {name}", (text,), id, path, split=split)


def flickr(folder: PictureFolder) -> Rows:
    """The captions of Flickr8k or Flickr30k below a folder, in whatever form they are there; their splits
    from Karpathy's file or from the official lists. Raises ValueError where there are none."""
    paths = list(folder.files())
    find = PhotoFiles(paths).find
    files = {PurePosixPath(path).name: path for path in paths}
    for pattern, reader in FORMS:
        found = next((name for name in sorted(files) if re.fullmatch(pattern, name)), None)
        if found is None:
            continue
        runtime.log(f"captions from {files[found]}")
        text = folder.folder / files[found]
        if reader is None:
            return karpathy(load(text.read_bytes(), found), found, find)
        listings = {
            NAMES[match[1]]: lines(folder.folder / path)
            for name, path in sorted(files.items())
            if (match := LISTING.fullmatch(name))
        }
        return reader(lines(text), found, find, listed_split(listings))
    raise ValueError(
        f"data.path: {folder.folder} has no caption file; expected dataset_flickr8k.json or its like, "
        "Flickr8k.token.txt, results_20130124.token, results.csv or captions.txt"
    )


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty."""
    text = path.read_bytes().decode(encoding_of(path), "replace").removeprefix("\ufeff")
    return [line.strip("\r ") for line in text.split("\n") if line.strip()]


def listed_split(listings: dict[str, list[str]]) -> Split:
    """By the official lists, of photos with or without ending; a photo that is on none is not used."""
    splits = {PurePosixPath(name).stem: split for split, names in listings.items() for name in names}
    return lambda name: splits.get(PurePosixPath(name).stem) if splits else ""


FORMS: tuple[tuple[str, Reader | None], ...] = (
    (r"dataset_flickr\w*\.json", None),
    (r".*\.token(\.txt)?", token_file),
    (r"results\.csv|captions\.txt", comma_file),
)  # the first that is there; None: Karpathy's


def load(text: bytes, file_name: str) -> dict:
    """A JSON object. Raises ValueError for anything else."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file_name} is no JSON ({error})") from error
    if not isinstance(data, dict):
        raise ValueError(f"{file_name}: expected a JSON object, found {type(data).__name__}")
    return data
