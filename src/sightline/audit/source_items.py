"""A user's data as items of an audit, by the sources of `data`: the questions that come with it, or those
that the rules of `data/questions` make of its captions.

The official POPE files and COCO's annotations are the source `vqa`: all files that lie in one folder. What is
in a photo is what its annotations and captions name, as CHAIR takes it (arXiv 1809.02156).
"""

import hashlib
import tempfile
from pathlib import Path

from sightline.audit.answer_reading import YES_NO
from sightline.audit.audit_items import Items, Picture
from sightline.core import artifacts, packaged_project, registry
from sightline.core.params import loader
from sightline.core.params.loader import Params
from sightline.data import shards
from sightline.data.questions.convert_captions import caption_questions, counted_lexicon
from sightline.data.questions.question_types import POPE_TYPES
from sightline.evaluate.metrics.chair import Lexicon

SIDE = 1024  # pixels of the longer side that a picture is kept with
MAX_WORDS_BYTES = 1 << 20
PHOTOS = ("vqa", "coco", "flickr8k", "flickr30k")  # whose captions name what photos show
SOURCES = ("table", "folder", "webdataset", *PHOTOS)


def read(source: str, path: Path, pictures: Path | None, words: Path | None, count: int, seed: int) -> Items:
    """At most `count` pictures of the data at `path`: those whose ids have the smallest digests with this
    seed, so that a smaller audit asks a part of a larger one. `words`: CHAIR's word list (`word_list`).

    Nothing is fetched. Raises ValueError for data without a picture or a question.
    """
    params = _params(source, path, pictures)
    with tempfile.TemporaryDirectory() as scratch:
        config: dict = {"source": source}
        build = registry.load("data/sources", source).build
        with artifacts.create(Path(scratch) / "raw", "raw", config) as folder:
            config.update(build(params.data, seed, folder, online=False))
        items = shards.Items(Path(scratch) / "raw")
        usable = [it for it in (items[line] for line in range(len(items))) if it["image"] is not None]
        if not usable:
            refused = ", ".join(f"{n} {why}" for why, n in sorted(config["rejected"].items()))
            raise ValueError(f"{path}: no item with a readable picture ({refused or 'no rows'})")
        usable.sort(key=lambda it: hashlib.sha256(f"{seed} {it['id']}".encode()).digest())
        chosen = usable[:count]
        shown = [Picture(it["id"], items.image_bytes(it)) for it in chosen]
    lexicon = counted_lexicon(usable, params.convert)
    objects = word_list(words) if words else lexicon.objects()
    kinds = Lexicon(dict(objects))
    asked = [caption_questions(it | {"split": "test"}, lexicon, params.convert, seed) for it in chosen]
    named = [{kind for text in it["captions"] for kind in kinds.mentions(text)} for it in chosen]
    present = [found or None for found in named]
    triples = [_asked(questions, bool(found)) for questions, found in zip(asked, present, strict=True)]
    for picture, questions in zip(shown, triples, strict=True):
        for it in questions:
            if it["type"] in POPE_TYPES and it["answer"] not in YES_NO:
                raise ValueError(
                    f"{path}: {picture.id}: the label of {it['question']!r} is {it['answer']!r}; a POPE file "
                    "has yes or no"
                )
    if not any(triples):
        raise ValueError(
            f"{path}: none of {len(chosen)} pictures has a question or a caption that names a known thing; "
            "give questions with answers, captions, or --words FILE"
        )
    truth = "the annotations that came with the data; what is in a picture: what its texts name"
    return Items(source, shown, triples, present, objects, {}, truth)


def word_list(path: Path) -> dict[str, list[str]]:
    """CHAIR's synonyms.txt: a kind a line, its names separated by commas, the first the kind's own.

    Raises ValueError, naming the line, for another form.
    """
    size = path.stat().st_size
    if size > MAX_WORDS_BYTES:
        raise ValueError(f"{path}: expected a list of at most {MAX_WORDS_BYTES} bytes, got {size}")
    objects: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        names = [" ".join(name.split()) for name in line.split(",")]
        if not line.strip():
            continue
        if not all(names):
            raise ValueError(f"{path}, line {number}: expected names separated by commas, got {line[:80]!r}")
        objects.setdefault(names[0], []).extend(names)
    if not objects:
        raise ValueError(f"{path}: expected a kind a line (person, man, woman, ...), got an empty file")
    return objects


def _asked(triples: list[dict], described: bool) -> list[dict]:
    """Without descriptions of pictures of which nothing is known."""
    return [it for it in triples if described or it["type"] != "describe"]


def _params(source: str, path: Path, pictures: Path | None) -> Params:
    """The parameters of the profile `own` over this data."""
    if source not in SOURCES:
        raise ValueError(f"--data {source}: expected scenes, or SOURCE:PATH with one of {', '.join(SOURCES)}")
    if not path.exists():
        raise ValueError(f"--data {source}:{path}: there is no such file or folder")
    folder = pictures or (path if path.is_dir() else path.parent)
    changes = {
        "profile": "own", "data.source": source, "data.path": str(path), "data.pictures": str(folder),
        "data.image_side": SIDE, "convert.pope_per_image": 6,
        "convert.lexicon": "photos" if source in PHOTOS else "corpus",
    }  # fmt: skip
    return loader.load_params(packaged_project.folder() / "params.yaml", changes)
