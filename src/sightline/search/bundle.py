"""models/bundle: the one folder that is shipped. Graphs, tokenizer, settings, search index, examples, card.

The index is built with the shipped graphs. The session that embeds is handed in: search knows no export.
"""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sightline.core import artifacts, progress
from sightline.data import images
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.data.shards import Items
from sightline.inference import out_of_domain
from sightline.inference.out_of_domain import Domain
from sightline.search.item_index import Entry, Gallery, assemble

MODEL, INDEX, EXAMPLES = "onnx", "index", "examples"
BATCH = 32
CHUNK = 256  # pictures decoded and held at a time
NUM_EXAMPLES = 6


class Embedder(Protocol):
    """What building an index needs of a session."""

    engine: Any

    def embed_images(self, images: list[np.ndarray], batch_size: int) -> np.ndarray: ...

    def embed_texts(self, texts: list[str], batch_size: int) -> np.ndarray: ...


def write(
    out: Path, exported: artifacts.Artifact, embedder: Embedder, items: Items, source: str, split: str,
    factory: str, settings: dict[str, Any], known: Domain, max_pixels: int,
) -> Gallery:  # fmt: skip
    """Write the bundle of the variant that ships; `embedder` runs that variant. Returns the gallery.

    `settings`: the variant's generation.json is written with these parts, `spin`, `confidence` and `describe`
    (fields of inference.decoding.clip_guided.Guide), replaced.
    Example pictures are copied from rendered scenes only: photographs belong to their owners.
    Raises ValueError when the split is empty.
    """
    shipped, lines = exported.config["shipped"], items.split(split)
    if not len(lines):
        raise ValueError(f"index.split is {split!r}: no such items; there are {', '.join(items.splits)}")
    config = {"model_type": "sightline", "source": source, "split": split, "variant": shipped}
    with artifacts.create(out, "bundle", config, _card(config, settings["spin"], len(lines))) as folder:
        shutil.copytree(exported.path / shipped, folder / MODEL)
        for name in ("tokenizer.json", "preprocessor_config.json"):
            shutil.copyfile(exported.path / name, folder / name)
        generation = artifacts.read_json(exported.path / "generation.json")
        artifacts.write_json(folder / "generation.json", generation | settings)
        known.save(folder / out_of_domain.FOLDER)
        gallery = embed(embedder, items, lines, factory, max_pixels)
        gallery.save(folder / INDEX, embedder.engine.search_digest())
        if source == "scenes":
            _write_examples(folder / EXAMPLES, items, lines)
    return gallery


def embed(embedder: Embedder, items: Items, lines: np.ndarray, factory: str, max_pixels: int) -> Gallery:
    """The gallery of some items: image vector where there is a picture, text vector of the first caption."""
    told = {item["id"]: next(iter(item["captions"]), "") for item in (items[line] for line in lines)}
    entries, pictures, texts = encode(embedder, items, lines, told, max_pixels)
    return assemble(entries, pictures, texts, embedder.engine.config["embed_dim"], factory)


def encode(
    embedder: Embedder, items: Items, lines: np.ndarray, told: dict[str, str], max_pixels: int
) -> tuple[list[Entry], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(entries, image vectors, text vectors) of some items. `told`: id -> the text that is embedded; an empty
    one has no vector."""
    entries: list[Entry] = []
    pictures, texts, count = {}, {}, math.ceil(len(lines) / CHUNK)
    for chunk in progress.track(_chunks([items[line] for line in lines]), f"embedding {CHUNK} items", count):
        shown = [item for item in chunk if item["image"] is not None]
        worded = [item for item in chunk if told[item["id"]]]
        if shown:
            decoded = [images.decode(items.image_bytes(item), max_pixels, item["id"]) for item in shown]
            rows = embedder.embed_images(decoded, batch_size=BATCH)
            pictures |= {item["id"]: row for item, row in zip(shown, rows, strict=True)}
        if worded:
            rows = embedder.embed_texts([told[item["id"]] for item in worded], batch_size=BATCH)
            texts |= {item["id"]: row for item, row in zip(worded, rows, strict=True)}
        entries += [
            Entry(
                item["id"],
                item.get("title", ""),
                item["captions"],
                item["id"] in pictures,
                item["id"] in texts,
            )
            for item in chunk
        ]
    return entries, pictures, texts


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


def _card(config: dict[str, str], spin: dict[str, Any], items: int) -> str:
    scenes = config["source"] == "scenes"
    knows = (
        "It was trained on rendered scenes of simple objects and knows nothing else: asked about a "
        "photograph, its answer means nothing, whatever its confidence; `sightline ask` then warns."
        if scenes
        else f"It was trained on the captions of {config['source']}, answers in their words and repeats bias."
    )
    return f"""# Sightline bundle

A small vision-language model that answers questions about a picture, describes it, and searches pictures
and texts.

- Variant: `{config["variant"]}` (see `metrics/export/variants.csv` for the ones it was chosen from).
- Training data: `{config["source"]}`. {knows}
- SPIN at inference (`generation.json`): {", ".join(f"{key} {value}" for key, value in spin.items())}.
- Index: {items} items of the split `{config["split"]}`; it fits these graphs only.
- Not for decisions about people, safety or rights. Measured quality: `metrics/summary.json`.
"""
