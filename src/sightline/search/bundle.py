"""models/bundle: the one folder that is shipped. Graphs, tokenizer, settings, search index, examples, card.

The index is built with the shipped graphs. The session is handed in: search knows no export.
"""

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import artifacts, progress
from sightline.core.params.bundle_params import IndexParams
from sightline.core.params.generation import Generation, Spin
from sightline.data import images
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.data.shards import Items
from sightline.inference import bundle_settings, out_of_domain
from sightline.inference.bundle_settings import GENERATION
from sightline.inference.confidence import Confidence
from sightline.inference.encoding import PREPROCESSOR
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.session import MODEL, TOKENIZER, Session
from sightline.search.item_index import Entry, ItemIndex, assemble

INDEX, EXAMPLES = "index", "examples"
BATCH = 32
CHUNK = 256  # pictures decoded and held at a time
NUM_EXAMPLES = 6


@dataclass(frozen=True)
class BundleInputs:
    """What a bundle is made of: the export stage's folder, the variant in it that ships as a session, how
    that answers, its OOD detector, the items of its index with their source, and, in sentences, what these
    could not teach."""

    exported: artifacts.Artifact
    session: Session
    confidence: Confidence
    generation: Generation
    spin: Spin
    domain: OODDetector
    items: Items
    source: str
    left_out: list[str]


def write(out: Path, inputs: BundleInputs, index: IndexParams, max_pixels: int) -> ItemIndex:
    """Write the bundle and return its item index. Example pictures are copied from rendered scenes only:
    photographs belong to their owners.

    Raises ValueError when the split is empty or the model cannot answer so.
    """
    exported, items, lines = inputs.exported, inputs.items, inputs.items.split(index.split)
    if not len(lines):
        raise ValueError(
            f"index.split is {index.split!r}: no such items; there are {', '.join(items.splits)}"
        )
    if inputs.session.answers:
        inputs.session.decoding_inputs(inputs.generation, inputs.spin)
    shipped = exported.config["shipped"]
    config = {
        "model_type": "sightline", "source": inputs.source, "split": index.split, "variant": shipped,
        "left_out": inputs.left_out,
    }  # fmt: skip
    with artifacts.create(out, "bundle", config, _card(config, inputs, len(lines))) as folder:
        shutil.copytree(exported.path / shipped, folder / MODEL)
        for name in (TOKENIZER, PREPROCESSOR):
            shutil.copyfile(exported.path / name, folder / name)
        settings = bundle_settings.read(exported.path / GENERATION).replaced(
            confidence=inputs.confidence, generation=inputs.generation, spin=inputs.spin
        )
        bundle_settings.write(folder / GENERATION, settings)
        inputs.domain.save(folder / out_of_domain.FOLDER)
        item_index = embed(inputs.session, items, lines, index.factory, max_pixels)
        item_index.save(folder / INDEX, inputs.session.search_digest())
        if inputs.source == "scenes":
            _write_examples(folder / EXAMPLES, items, lines)
    return item_index


def embed(session: Session, items: Items, lines: np.ndarray, factory: str, max_pixels: int) -> ItemIndex:
    """The index of some items: image vector where there is a picture, text vector of the first caption."""
    texts = {item["id"]: next(iter(item["captions"]), "") for item in (items[line] for line in lines)}
    entries, pictures, captions = encode(session, items, lines, texts, max_pixels)
    return assemble(entries, pictures, captions, session.engine.config["embed_dim"], factory)


def encode(
    session: Session, items: Items, lines: np.ndarray, texts: dict[str, str], max_pixels: int
) -> tuple[list[Entry], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(entries, image vectors, text vectors) of some items. `texts`: id -> the text that is embedded; an
    empty one has no vector."""
    entries: list[Entry] = []
    pictures: dict[str, np.ndarray] = {}
    captions: dict[str, np.ndarray] = {}
    count = math.ceil(len(lines) / CHUNK)
    for chunk in progress.track(_chunks([items[line] for line in lines]), f"embedding {CHUNK} items", count):
        with_image = [item for item in chunk if item["image"] is not None]
        with_text = [item for item in chunk if texts[item["id"]]]
        if with_image:
            decoded = [images.decode(items.image_bytes(item), max_pixels, item["id"]) for item in with_image]
            rows = session.embed_images(decoded, batch_size=BATCH)
            pictures |= {item["id"]: row for item, row in zip(with_image, rows, strict=True)}
        if with_text:
            rows = session.embed_texts([texts[item["id"]] for item in with_text], batch_size=BATCH)
            captions |= {item["id"]: row for item, row in zip(with_text, rows, strict=True)}
        entries += [
            Entry(
                item["id"],
                item.get("title", ""),
                item["captions"],
                item["id"] in pictures,
                item["id"] in captions,
            )
            for item in chunk
        ]
    return entries, pictures, captions


def _chunks(rows: list[dict]) -> Iterator[list[dict]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def _write_examples(folder: Path, items: Items, lines: np.ndarray) -> None:
    """A few pictures with their caption and questions that they can answer."""
    folder.mkdir()
    examples = []
    for line in lines[:NUM_EXAMPLES]:
        item = items[line]
        name = f"{item['id']}.png"
        (folder / name).write_bytes(items.image_bytes(item))
        questions = [DESCRIBE, *(f"Is there a {part['kind']}?" for part in item["scene"]["objects"][:2])]
        examples.append({"caption": item["captions"][0], "file": name, "questions": questions})
    artifacts.write_json(folder / "examples.json", examples)


def _card(config: dict[str, Any], inputs: BundleInputs, items: int) -> str:
    scope = (
        "It was trained on rendered scenes of simple objects and knows nothing else: asked about a "
        "photograph, its answer means nothing, whatever its confidence; `sightline ask` then warns."
        if config["source"] == "scenes"
        else f"It was trained on the captions of {config['source']}, uses their words and repeats their bias."
    )
    what, spin = "answers questions about a picture, describes it, and searches pictures\nand texts", ""
    if inputs.session.answers:
        gate = ", ".join(f"{key} {value}" for key, value in inputs.spin.model_dump(mode="json").items())
        spin = f"- SPIN at inference (`generation.json`): {gate}.\n"
    else:
        what = "searches pictures and texts. It answers no questions: it was built\nwith finetune.epochs 0"
    left_out = "".join(f"- {sentence}\n" for sentence in config["left_out"])
    return f"""# Sightline bundle

A small vision-language model that {what}.

- Variant: `{config["variant"]}` (see `metrics/export/variants.csv` for the ones it was chosen from).
- Training data: `{config["source"]}`. {scope}
{left_out}{spin}- Index: {items} items of the split `{config["split"]}`; it fits these graphs only.
- Not for decisions about people, safety or rights. Measured quality: `metrics/summary.json`.
"""
