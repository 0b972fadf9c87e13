"""Questions about COCO-like pictures: annotation files of VQA-v2, GQA and POPE.

Y. Goyal et al.: Making the V in VQA matter (arXiv 1612.00837): `..._questions.json` with
`..._annotations.json`, ten answers each. D. Hudson, C. Manning: GQA (arXiv 1902.09506):
`..._questions.json`. Y. Li et al.: POPE (arXiv 2305.10355): JSON lines with image, text and label. All that
lie below `data.path` are read, with COCO's caption files where there are some; the pictures lie anywhere
below `data.pictures`. A row is one question or caption. The split is that in a file's name, of POPE test; a
picture of several goes to test before val before train. Files are parsed whole, of each question only what
is used.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.core import runtime
from sightline.core.params.data_params import DataParams
from sightline.data.intake import captions_files
from sightline.data.intake.build_items import Joining, build_items
from sightline.data.intake.photo_files import PhotoFiles
from sightline.data.intake.pictures import PictureFolder
from sightline.data.intake.rows import Question, Refusal, Row
from sightline.data.intake.splits import split_in

FIRST = ("test", "val", "train", "")  # the split of a picture that files of several splits ask about
POPE = ("random", "popular", "adversarial")
Rows = Iterator[Row | Refusal]


def build(params: DataParams, seed: int, out: Path, online: bool = True) -> dict:
    """Fills `out` with shards and items; returns counts of questions and captions (rows) and of items.

    Nothing depends on `seed`. Raises ValueError where no annotation file or no picture is found.
    """
    root = Path(params.path)
    texts = PictureFolder(root if root.is_dir() else root.parent, params.timeout_s)
    names = [name for name in texts.files() if name.endswith((".json", ".jsonl"))]
    names = names if root.is_dir() else [root.name]
    folder = PictureFolder(Path(params.pictures), params.timeout_s, online=online)
    photos = PhotoFiles(folder.files() if params.has_pictures else [])
    if not len(photos):
        raise ValueError("no picture was found; give their folder: -S data.pictures=FOLDER")
    splits: dict[str, str] = {}
    for row in _rows(texts.folder, names, photos):
        if isinstance(row, Row):
            picture = str(row.picture)
            splits[picture] = min(splits.get(picture, row.split), row.split, key=FIRST.index)
    if not splits:
        raise ValueError(
            f"data.path: {root} has no question about a picture of {params.pictures}; expected files of "
            "VQA-v2 (questions and annotations), GQA or POPE"
        )
    rows = (
        replace(row, split=splits[str(row.picture)]) if isinstance(row, Row) else row
        for row in _rows(texts.folder, names, photos)
    )
    return build_items(rows, folder.read, params, out, Joining(by_picture=True, needs_picture=True))


def _rows(root: Path, names: list[str], photos: PhotoFiles) -> Rows:
    annotations = [name for name in names if "annotation" in PurePosixPath(name).name]
    for name in names:
        if name in annotations:
            continue
        data = _parsed(root / name)
        if isinstance(data, list):
            yield from _pope(data, name, photos)
        elif isinstance(data.get("questions"), list):
            yield from _vqa(data, name, [root / other for other in annotations], photos)
        elif {"images", "annotations"} <= data.keys():
            for row in captions_files.coco(data, name, photos.find):
                yield replace(row, id=PurePosixPath(str(row.picture)).stem) if isinstance(row, Row) else row
        else:
            yield from _gqa(data, name, photos)


def _vqa(data: dict, name: str, annotations: list[Path], photos: PhotoFiles) -> Rows:
    """VQA-v2; the annotations are those of the same `data_subtype`."""
    answers: dict[Any, dict] = {}
    for path in annotations:
        parsed = _parsed(path)
        if isinstance(parsed, dict) and parsed.get("data_subtype") == data.get("data_subtype"):
            answers |= {it["question_id"]: it for it in parsed["annotations"]}
    if not answers:
        runtime.log(f"{name}: no annotations of its questions, it is left out")
        return
    for it in data["questions"]:
        about = answers.get(it["question_id"])
        if about is None:
            yield Refusal(str(it["question_id"]), "no_answer", f"{name}: question {it['question_id']}")
            continue
        question = Question(str(it["question"]), tuple(map(str, about["answers"])), str(about["answer_type"]))
        yield _row(
            photos.numbered(int(it["image_id"])), f"photo {it['image_id']}", name, question, split_in(name)
        )


def _gqa(data: dict, name: str, photos: PhotoFiles) -> Rows:
    for key, it in data.items():
        if not (isinstance(it, dict) and {"imageId", "question", "answer"} <= it.keys()):
            runtime.log(f"{name} is no file of VQA-v2, GQA, POPE or COCO, it is left out")
            return
        question = Question(str(it["question"]), (str(it["answer"]),))
        yield _row(
            photos.find(f"{it['imageId']}.jpg"),
            f"{key} of {it['imageId']}.jpg",
            name,
            question,
            split_in(name),
        )


def _pope(data: list, name: str, photos: PhotoFiles) -> Rows:
    kind = next((f"pope_{kind}" for kind in POPE if kind in name), "")
    for it in data:
        if not (isinstance(it, dict) and {"image", "text", "label"} <= it.keys()):
            yield Refusal(name, "bad_row", f"{name}: expected image, text and label")
            continue
        question = Question(str(it["text"]), (str(it["label"]),), kind)
        yield _row(photos.find(str(it["image"])), str(it["image"]), name, question, "test")


def _row(path: str, label: str, name: str, question: Question, split: str) -> Row | Refusal:
    if not path:
        return Refusal(label, "no_image", f"{name}: there is no picture of {label}")
    return Row(f"{name}, {label}", (), PurePosixPath(path).stem, path, split=split, questions=(question,))


def _parsed(path: Path) -> Any:
    """The JSON of a file, or the list of its lines. Raises ValueError for anything else."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        return json.loads(text, object_hook=_used)
    except ValueError:
        pass
    try:
        return [json.loads(line, object_hook=_used) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise ValueError(f"{path} is neither JSON nor JSON lines ({error})") from error


def _used(entry: dict) -> Any:
    """What is used of an object: of an answer of VQA-v2 its text, of a question of GQA three fields."""
    if "answer_confidence" in entry:
        return entry.get("answer", "")
    if {"imageId", "question", "answer"} <= entry.keys():
        return {name: entry[name] for name in ("imageId", "question", "answer")}
    return entry
