"""Effect of the captions of similar pictures on the answers: measured with and without, on the same pictures
and questions. How many captions is chosen on `val`; the report reads `test`.

A picture's own captions are excluded, except in the control that bounds the gain from the best caption. The
index is the shipped index, or `train`. B pictures, E embedding width, K captions.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.artifacts import read_json
from sightline.core.params.generation import SPIN_OFF, Generation
from sightline.core.runtime import derive_seed
from sightline.data.questions.question_types import is_short
from sightline.data.shards import Items
from sightline.evaluate import predictions, scoring, split_contents
from sightline.evaluate.bootstrap import interval, resamples
from sightline.evaluate.scoring import Group, rounded
from sightline.evaluate.split_contents import Split
from sightline.inference.engine import Memory
from sightline.inference.session import Session
from sightline.search import bundle
from sightline.search.index_writer import IndexWriter
from sightline.search.item_index import ItemIndex

CHOOSE, REPORT, TRAIN = "val", "test", "train"
TRIED = (1, 3, 5)
REPORTED = {("vqa", "accuracy"), ("pope", "accuracy"), ("chair", "chair_i"), ("chair", "recall")}
POPE = "adversarial"
Captions = list[list[str]]  # of every picture of a split
Echo = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """Data and decoding (params.evaluate); `items` pictures of each split, 0: all."""

    raw: Path
    vqa: Path
    items: int
    generation: Generation
    batch_size: int
    bootstrap: int
    seed: int

    def read(self, name: str) -> Split:
        return split_contents.read(self.raw, self.vqa, name, self.items)


class CaptionedSession:
    """A session that adds the captions of its picture to every question."""

    def __init__(self, session: Session, split: Split, captions: Captions) -> None:
        self._session = session
        self._captions = {
            rgb.tobytes(): captions_K for rgb, captions_K in zip(split.rgb(), captions, strict=True)
        }

    def answer(
        self, images: Sequence[np.ndarray], questions: Sequence[str], *settings: Any, **options: Any
    ) -> list[Any]:
        captions = [self._captions[image.tobytes()] for image in images]
        return self._session.answer(images, questions, *settings, captions=captions, **options)


class Appended(Session):
    """Captions as memory: their tokens follow those of the question in the decoder's memory."""

    def memory(
        self, tokens_BPD: np.ndarray, ids_BS: np.ndarray, mask_BS: np.ndarray,
        captions_BK: Sequence[Sequence[str]],
    ) -> Memory:  # fmt: skip
        parts, patches = [self.engine.memory(tokens_BPD, ids_BS, mask_BS)], tokens_BPD.shape[1]
        length = self.settings.max_text
        for captions_B in zip(*captions_BK, strict=True):
            read = self.engine.memory(tokens_BPD, *self.tokenizer.batch(captions_B, length, pad_to=length))
            tokens = slice(patches, None)
            parts.append(
                Memory(
                    read.cross_k[:, :, :, tokens], read.cross_v[:, :, :, tokens], read.mask_BM[:, tokens],
                    read.image_BM[:, tokens],
                )
            )  # fmt: skip
        return Memory(
            np.concatenate([part.cross_k for part in parts], axis=3),
            np.concatenate([part.cross_v for part in parts], axis=3),
            np.concatenate([part.mask_BM for part in parts], axis=1),
            np.concatenate([part.image_BM for part in parts], axis=1),
        )


def run(session: Session, study: Study, echo: Echo) -> dict[str, Any]:
    """The whole result. Raises ValueError where a split has no pictures or an index no others."""
    index = ItemIndex(session.folder / bundle.INDEX, session.search_digest())
    split = short(study.read(CHOOSE))
    embeds_BE = _embeds(session, split)
    weights_RC = _weights(study, split)
    off = _groups(study, session, split, None, weights_RC)
    tried = []
    for k in TRIED:
        on = _groups(study, session, split, nearest(index, study, split, embeds_BE, k), weights_RC)
        tried.append({"k": k, "figures": _figures(on), "minus_off": _gaps(on, off)})
        echo(f"{CHOOSE}, {k} captions: {_accuracy(tried[-1]):.2f} % of short answers right")
    best = max(tried, key=_accuracy)["k"]  # of equals the fewest
    return {
        "variant": read_json(session.folder / "config.json")["variant"],
        "resamples": study.bootstrap,
        "chosen": best,
        CHOOSE: {**_sizes(split), "off": _figures(off), "tried": tried},
        REPORT: report(session, study, index, best, echo),
    }


def report(session: Session, study: Study, index: ItemIndex, k: int, echo: Echo) -> dict[str, Any]:
    """The test split without and with `k` captions, from two indexes, and the controls."""
    split = study.read(REPORT)
    embeds_BE, weights_RC = _embeds(session, split), _weights(study, split)
    with tempfile.TemporaryDirectory() as folder:  # an open index outlives it
        train = train_index(session, study, Path(folder) / TRAIN)
    appended = Appended(
        session.engine, session.tokenizer, session.preprocessing, session.settings, session.folder
    )
    first_captions = [captions[:1] for captions in split.captions]
    variants: dict[str, tuple[Session, Captions]] = {
        "nearest in the index": (session, nearest(index, study, split, embeds_BE, k)),
        "nearest in train": (session, nearest(train, study, split, embeds_BE, k)),
        "drawn from the index": (session, sampled(index, study, split, k)),
        "the picture's own": (session, first_captions),
        "nearest in the index, as memory": (appended, nearest(index, study, split, embeds_BE, k)),
    }
    off = _groups(study, session, split, None, weights_RC)
    result: dict[str, Any] = {**_sizes(split), "train": len(train), "index": len(index), "off": _figures(off)}
    result["ways"] = []
    for name, (reader, captions) in variants.items():
        on = _groups(study, reader, split, captions, weights_RC)
        row = {"way": name, "figures": _figures(on), "minus_off": _gaps(on, off)}
        echo(f"{REPORT}, {name}: {_accuracy(row):.2f} % of short answers right")
        result["ways"].append(row)
    return result


def nearest(index: ItemIndex, study: Study, split: Split, embeds_BE: np.ndarray, k: int) -> Captions:
    """Descriptions of the `k` pictures most similar to each of the split's; its own id is excluded."""
    names = _names(study, split)
    captions = [
        [hit.text for hit in hits if hit.id != name][:k]
        for name, hits in zip(names, index.similar_pictures(embeds_BE, k + 1), strict=True)
    ]
    if any(len(texts) < k for texts in captions):
        raise ValueError(f"retrieval: the index holds fewer than {k} other pictures with captions")
    return captions


def sampled(index: ItemIndex, study: Study, split: Split, k: int) -> Captions:
    """Descriptions of `k` random pictures for each of the split's; its own id is excluded."""
    rng = np.random.default_rng(derive_seed(study.seed, "drawn captions", split.name))
    entries = [entry for entry in index.entries() if entry.image and entry.description]
    captions = []
    for name in _names(study, split):
        selected = [entries[position] for position in rng.permutation(len(entries))[: k + 1]]
        captions.append([entry.description for entry in selected if entry.id != name][:k])
    return captions


def train_index(session: Session, study: Study, folder: Path) -> ItemIndex:
    """An index of the pictures of train, without their texts, in the new `folder`."""
    items = Items(study.raw)
    lines = [line for line in items.split(TRAIN) if items[line]["image"] is not None]
    lines = np.array(lines[: study.items] if study.items else lines)
    most = read_json(study.raw / "config.json")["image_side"] ** 2
    with IndexWriter(folder, session.engine.config["embed_dim"]) as writer:
        for block in bundle.encode(session, items, lines, no_text, most, 0):
            writer.add(block)
        writer.finish("Flat", session.search_digest(), TRAIN)
    return ItemIndex(folder, session.search_digest())


def no_text(item: dict) -> str:
    return ""


def short(split: Split) -> Split:
    """The split with its short questions only."""
    kept = [position for position, triple in enumerate(split.triples) if is_short(triple["type"])]
    triples = [split.triples[position] for position in kept]
    return replace(split, triples=triples, picture_of=[split.picture_of[position] for position in kept])


def _names(study: Study, split: Split) -> list[str]:
    items = Items(study.raw)
    return [items[line]["id"] for line in split.lines]


def _embeds(session: Session, split: Split) -> np.ndarray:
    return session.embed_images(list(split.rgb()), bundle.BATCH)


def _weights(study: Study, split: Split) -> np.ndarray:
    rng = np.random.default_rng(derive_seed(study.seed, "bootstrap", split.name))
    return resamples(len(split.lines), study.bootstrap, rng)


def _groups(
    study: Study, session: Session, split: Split, captions: Captions | None, weights_RC: np.ndarray
) -> list[Group]:
    reader = session if captions is None else CaptionedSession(session, split, captions)
    answers = predictions.answers(reader, split, study.generation, SPIN_OFF, study.batch_size)
    return scoring.answer_groups(split, answers.texts, split_contents.lexicon(study.vqa), weights_RC)


def _is_reported(family: str, kind: str, metric: str) -> bool:
    return (family, metric) in REPORTED and (family != "pope" or kind == POPE)


def _figures(groups: list[Group]) -> list[dict[str, Any]]:
    rows = []
    for group in groups:
        for metric, figure in group.measure.FIGURES.items():
            if _is_reported(group.family, group.kind, metric):
                estimate = interval(figure, group.sample)
                sample_size = int(group.measure.sample_size(group.sample.total))
                rows.append(
                    {**_key(group.family, group.kind, metric), "n": sample_size, **_interval(vars(estimate))}
                )
    return rows


def _gaps(on: list[Group], off: list[Group]) -> list[dict[str, Any]]:
    """Paired differences, with the one-sided 95 % bound of the loss."""
    return [
        {**_key(row["family"], row["type"], row["metric"]), **_interval(row), "loss_bound": row["loss_bound"]}
        for row in scoring.difference_rows(on, off, {})
        if _is_reported(row["family"], row["type"], row["metric"])
    ]


def _key(family: str, kind: str, metric: str) -> dict[str, str]:
    return {"family": family, "type": kind, "metric": metric}


def _interval(estimate: dict[str, Any]) -> dict[str, float]:
    return {name: rounded(estimate[name]) for name in ("value", "low", "high")}


def _accuracy(row: dict[str, Any]) -> float:
    return next(one["value"] for one in row["figures"] if (one["family"], one["type"]) == ("vqa", "all"))


def _sizes(split: Split) -> dict[str, int]:
    return {"pictures": len(split.lines), "questions": len(split.triples)}
