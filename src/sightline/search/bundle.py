"""models/bundle: the one folder that is shipped. Graphs, tokenizer, settings, search index, examples, card.

The index is built with the shipped graphs. The session is handed in: search knows no export.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sightline.core import artifacts, progress
from sightline.core.params.bundle_params import ALL_SPLITS, IndexParams
from sightline.core.params.generation import Generation, Spin
from sightline.core.shard_map import FEW, map_shards
from sightline.data import images, transformers_tokenizer
from sightline.data.shards import Items
from sightline.inference import bundle_settings
from sightline.inference.bundle_settings import GENERATION
from sightline.inference.confidence import Confidence
from sightline.inference.encoding import PREPROCESSOR
from sightline.inference.object_words import ObjectWords
from sightline.inference.onnx_engine import OnnxEngine
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.question_detector import FOLDER, QuestionDetector
from sightline.inference.session import DECODER_TOKENIZER, MODEL, Session
from sightline.search import bundle_card, examples
from sightline.search.index_writer import Block, IndexWriter
from sightline.search.item_index import Entry, ItemIndex

INDEX = "index"
BATCH = 32
CHUNK = 256  # pictures decoded and held at a time
THUMBNAIL_QUALITY = 85  # of JPEG


@dataclass(frozen=True)
class Encoding:
    """What is encoded of items: see `encode`."""

    text_of: Callable[[dict], str]
    max_pixels: int
    thumbnails: int


@dataclass(frozen=True)
class DataOrigin:
    """Where items are from: `data.source`, the language of their captions, the sha256 of their manifest."""

    source: str
    language: str
    sha256: str


@dataclass(frozen=True)
class BundleInputs:
    """What a bundle is made of: the export stage's folder, the variant in it that ships as a session, how
    that answers, its OOD detectors of pictures and of questions, the items of its index with their origin,
    in sentences what these could not teach, the object words of its descriptions, and how it re-ranks."""

    exported: artifacts.Artifact
    session: Session
    confidence: Confidence
    generation: Generation
    spin: Spin
    domain: OODDetector
    questions: QuestionDetector | None  # None: the model does not answer
    items: Items
    origin: DataOrigin
    left_out: list[str]
    object_words: ObjectWords | None = None  # None: it does not describe, or too few of val
    description_weight: float = 0.05  # of re-ranking, as evaluation measures it


def write(out: Path, inputs: BundleInputs, index: IndexParams, max_pixels: int) -> ItemIndex:
    """Write the bundle and return its item index. Pictures are copied as `index.thumbnails` says, and example
    pictures from rendered scenes only: photographs belong to their owners.

    Raises ValueError when the split is empty or the model cannot answer so.
    """
    exported, items, session = inputs.exported, inputs.items, inputs.session
    lines = np.arange(len(items)) if index.split == ALL_SPLITS else items.split(index.split)
    if not len(lines):
        raise ValueError(
            f"index.split is {index.split!r}: no such items; there are {', '.join(items.splits)}, and "
            f"{ALL_SPLITS} means each of them"
        )
    if session.answers:
        session.decoding_inputs(inputs.generation, inputs.spin)
    shipped = exported.config["shipped"]
    config = {
        "model_type": "sightline", "variant": shipped, "answers": session.answers,
        "source": inputs.origin.source, "language": inputs.origin.language,
        "data": {
            "items": {name: len(rows) for name, rows in items.splits.items()}, "sha256": inputs.origin.sha256
        },
        "split": index.split, "indexed": len(lines), "thumbnails": index.thumbnails,
        "left_out": inputs.left_out,
    }  # fmt: skip
    with artifacts.create(out, "bundle", config, bundle_card.text(config, inputs.spin)) as folder:
        shutil.copytree(exported.path / shipped, folder / MODEL)
        transformers_tokenizer.write(folder, session.text_tokenizer, session.settings.max_text)
        if (exported.path / DECODER_TOKENIZER).is_dir():
            shutil.copytree(exported.path / DECODER_TOKENIZER, folder / DECODER_TOKENIZER)
        shutil.copyfile(exported.path / PREPROCESSOR, folder / PREPROCESSOR)
        settings = bundle_settings.read(exported.path / GENERATION).replaced(
            confidence=inputs.confidence, generation=inputs.generation, spin=inputs.spin,
            description_weight=inputs.description_weight,
        )  # fmt: skip
        bundle_settings.write(folder / GENERATION, settings)
        inputs.domain.save(folder / FOLDER)
        if inputs.questions is not None:
            inputs.questions.save(folder / FOLDER)
        if inputs.object_words is not None:
            inputs.object_words.save(folder / FOLDER)
        with IndexWriter(folder / INDEX, session.engine.config["embed_dim"]) as writer:
            for block in encode(session, items, lines, first_caption, max_pixels, index.thumbnails):
                writer.add(block)
            writer.finish(index.factory, session.search_digest(), index.split)
        if inputs.origin.source == "scenes":
            examples.write(folder, items, lines)
    return ItemIndex(out / INDEX, session.search_digest())


def first_caption(item: dict) -> str:
    return next(iter(item["captions"]), "")


def encode(
    session: Session, items: Items, lines: np.ndarray, text_of: Callable[[dict], str], max_pixels: int,
    thumbnails: int,
) -> Iterator[Block]:  # fmt: skip
    """Some items, encoded block by block: an image vector where there is a picture, a text vector of
    `text_of` the item unless that is empty; small JPEGs of `thumbnails` pixels a side (0: none). `text_of` is
    a function of a module, as workers import it."""
    asked = Encoding(text_of, max_pixels, thumbnails)
    chunks = [lines[start : start + CHUNK] for start in range(0, len(lines), CHUNK)]
    blocks: Iterator[Block]
    if len(chunks) > FEW and isinstance(session.engine, OnnxEngine) and session.folder is not None:
        engine = session.engine
        model = session.folder.resolve(), engine.folder.name, engine.threads
        blocks = map_shards(_encoded, ((model, items.folder.resolve(), chunk, asked) for chunk in chunks))
    else:
        blocks = (_block(session, items, chunk, asked) for chunk in chunks)
    yield from progress.track(blocks, f"embedding {CHUNK} items", len(chunks))


Model = tuple[Path, str, int]  # arguments of Session.open


def _encoded(shard: tuple[Model, Path, np.ndarray, Encoding]) -> Block:
    """A block by a worker, which opens model and items once."""
    model, folder, lines, asked = shard
    return _block(_opened(*model), _items(folder), lines, asked)


@lru_cache(maxsize=1)
def _opened(folder: Path, graphs: str, threads: int) -> Session:
    return Session.open(folder, graphs, threads)


@lru_cache(maxsize=1)
def _items(folder: Path) -> Items:
    return Items(folder)


def _block(session: Session, items: Items, lines: np.ndarray, asked: Encoding) -> Block:
    chunk = [items[line] for line in lines]
    with_image = [item for item in chunk if item["image"] is not None]
    texts = [asked.text_of(item) for item in chunk]
    decoded = [images.decode(items.image_bytes(item), asked.max_pixels, item["id"]) for item in with_image]
    image_BE = text_BE = np.zeros((0, session.engine.config["embed_dim"]), dtype=np.float32)
    if decoded:
        image_BE = session.embed_images(decoded, batch_size=BATCH)
    if spoken := [text for text in texts if text]:
        text_BE = session.embed_texts(spoken, batch_size=BATCH)
    pairs = zip(with_image, decoded, strict=True)
    small = (_thumbnail(items, item, rgb, asked.thumbnails) for item, rgb in pairs)
    return Block(
        [_entry(item, bool(text)) for item, text in zip(chunk, texts, strict=True)], image_BE, text_BE,
        [next(small) if item["image"] is not None else b"" for item in chunk],
    )  # fmt: skip


def _entry(item: dict, text: bool) -> Entry:
    has_image = item["image"] is not None
    return Entry(item["id"], item.get("title", ""), item["captions"], has_image, text, item.get("from") or "")


def _thumbnail(items: Items, item: dict, rgb: np.ndarray, side: int) -> bytes:
    return images.encode(items.displayed(item, side, rgb), "jpg", THUMBNAIL_QUALITY)[0] if side else b""
