"""The variants of a model, what each costs and loses, and which one ships.

fp32 is the trained model, pruned the compressed one, int8 and pruned_int8 their quantized forms. Candidates
are tried from the smallest to the largest, and the first that loses at most `max_drop` points of validation
accuracy ships.
"""

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from sightline.data import images
from sightline.data.shards import Items
from sightline.data.vqa.triples import Triples
from sightline.export.engine import CONFIG, GRAPHS
from sightline.export.quantize import Recorder, quantize
from sightline.export.session import Session

SEARCH_SIDE = ("image_encoder", "text_encoder", "fusion")  # the dual encoder's graphs; the others answer
CANDIDATES = ("pruned_int8", "int8", "pruned", "fp32")
OWN = ("memory", "decoder")  # the graphs that pruning changes
QUANTIZED = {"pruned": "pruned_int8", "fp32": "int8"}
BATCH = 32
SHORT_TOKENS = 8  # the longest answer to a short question
RERANKED, RERANK_TOP = 200, 5  # queries and candidates that check the fusion head
COLUMNS = (
    "variant", "bytes", "macs", "accuracy", "accuracy_drop", "r1", "r1_drop", "reranked_r1",
    "reranked_r1_drop", "search_graphs", "ships",
)  # fmt: skip


@dataclass(frozen=True)
class Questions:
    """Pictures (uint8 [Y, X, 3]) with questions and their right answers, item by item."""

    images: list[np.ndarray]
    questions: list[str]
    answers: list[str]


def read_questions(
    items: Items, triples: Triples, count: int, max_pixels: int, short: bool = False
) -> Questions:
    """`count` questions, evenly spread over the split, with pictures; if `short`, without descriptions and
    without the many existence questions of POPE, which would hide what the other types lose."""
    lines = [line for line in range(len(triples)) if not short or _is_short(triples[line]["type"])]
    lines = [line for line in lines if items[triples[line]["item"]]["image"] is not None]
    if not lines:
        raise ValueError(f"{triples.path}: no usable question in it; rerun the convert stage")
    spread = np.unique(np.linspace(0, len(lines) - 1, min(count, len(lines))).round().astype(int))
    chosen = [triples[lines[place]] for place in spread]
    pictures: dict[int, np.ndarray] = {}
    for triple in chosen:
        if triple["item"] not in pictures:
            item = items[triple["item"]]
            pictures[triple["item"]] = images.decode(items.image_bytes(item), max_pixels, item["id"])
    return Questions(
        [pictures[triple["item"]] for triple in chosen],
        [triple["question"] for triple in chosen],
        [triple["answer"] for triple in chosen],
    )


def _is_short(kind: str) -> bool:
    return kind != "describe" and not kind.startswith("pope_")


def read_gallery(items: Items, split: str, limit: int, max_pixels: int) -> list[tuple[np.ndarray, str]]:
    """(picture, first caption) of the first `limit` items of a split that have both."""
    chosen = (items[line] for line in items.split(split))
    chosen = (item for item in chosen if item["image"] is not None and item["captions"])
    return [
        (images.decode(items.image_bytes(item), max_pixels, item["id"]), item["captions"][0])
        for item in islice(chosen, limit)
    ]


def quantize_variant(
    root: Path, source: str, asked: Questions, gallery: Sequence[tuple[np.ndarray, str]]
) -> None:
    """Write the int8 form of root/source, calibrated by answering and embedding.

    Variants share every graph but memory and decoder: the others are quantized once and then copied.
    """
    folder = root / QUANTIZED[source]
    folder.mkdir()
    shutil.copyfile(root / source / CONFIG, folder / CONFIG)
    done = [root / other for other in QUANTIZED.values() if (root / other / "vision.onnx").exists()]
    session = Session.open(root, source)
    session.engine = recorder = Recorder(root / source)
    session.answer(asked.images, asked.questions, batch_size=BATCH)
    if not done:
        tokens, _ = session.encode_images([picture for picture, _ in gallery], BATCH)
        states, mask, _ = session.encode_texts([text for _, text in gallery], BATCH)
        session.match(tokens, states, mask, BATCH)
    for name in GRAPHS:
        if done and name not in OWN:
            shutil.copyfile(done[0] / f"{name}.onnx", folder / f"{name}.onnx")
        else:
            quantize(root / source / f"{name}.onnx", folder / f"{name}.onnx", recorder.feeds[name])


def accuracy(session: Session, asked: Questions) -> float:
    """Percent of answers that are the right one, token by token, without SPIN."""
    tokenizer = session.tokenizer
    length = min(SHORT_TOKENS, session.engine.config["max_answer"])
    given = session.answer(asked.images, asked.questions, max_new=length, batch_size=BATCH)
    limit = session.engine.config["max_answer"]
    pairs = zip(given, asked.answers, strict=True)
    right = [answer.ids == tokenizer.encode(truth, limit)[1:-1] for answer, truth in pairs]
    return 100.0 * float(np.mean(right))


def retrieval(session: Session, gallery: Sequence[tuple[np.ndarray, str]]) -> tuple[float, float]:
    """Text-to-image R@1 in percent over the gallery, and with the top 5 re-ranked, over 200 of its queries.

    Equal captions share their picture: either counts.
    """
    pictures, texts = [picture for picture, _ in gallery], [text for _, text in gallery]
    tokens, image_NE = session.encode_images(pictures, BATCH)
    states, mask, text_NE = session.encode_texts(texts, BATCH)
    scores_NN = text_NE @ image_NE.T
    named = np.unique(texts, return_inverse=True)[1]
    best = scores_NN.argmax(axis=1)
    top = np.argsort(-scores_NN, axis=1, kind="stable")[:RERANKED, :RERANK_TOP]
    query = np.repeat(np.arange(len(top)), top.shape[1])
    match = session.match(tokens[top.ravel()], states[query], mask[query], BATCH).reshape(top.shape)
    reranked = np.take_along_axis(top, match.argmax(axis=1)[:, None], axis=1)[:, 0]
    return (
        100.0 * float(np.mean(named[best] == named)),
        100.0 * float(np.mean(named[reranked] == named[: len(top)])),
    )


def choose(
    root: Path,
    macs: dict[str, int],
    asked: Questions,
    gallery: Sequence[tuple[np.ndarray, str]],
    max_drop: float,
) -> tuple[str, list[dict]]:
    """(name of the variant that ships, one row per variant with COLUMNS).

    An int8 search side that loses more than `max_drop` points of R@1 is replaced by the float32 one, in
    place.
    """
    rows: dict[str, dict] = {}
    for name in reversed(CANDIDATES):
        session = Session.open(root, name)
        right, (r1, reranked) = accuracy(session, asked), retrieval(session, gallery)
        base = rows.get("fp32", {"accuracy": right, "r1": r1, "reranked_r1": reranked})
        quantized = name in QUANTIZED.values()
        graphs = "int8" if quantized else "fp32"
        if quantized and max(base["r1"] - r1, base["reranked_r1"] - reranked) > max_drop:
            for graph in SEARCH_SIDE:
                shutil.copyfile(root / "fp32" / f"{graph}.onnx", root / name / f"{graph}.onnx")
            r1, reranked, graphs = base["r1"], base["reranked_r1"], "fp32"
        rows[name] = {
            "variant": name, "bytes": size(root / name), "macs": macs[name], "accuracy": right,
            "accuracy_drop": base["accuracy"] - right, "r1": r1, "r1_drop": base["r1"] - r1,
            "reranked_r1": reranked, "reranked_r1_drop": base["reranked_r1"] - reranked,
            "search_graphs": graphs,
        }  # fmt: skip
    shipped = next(name for name in CANDIDATES if rows[name]["accuracy_drop"] <= max_drop)
    for name, row in rows.items():
        row["ships"] = int(name == shipped)
    return shipped, list(rows.values())


def size(folder: Path) -> int:
    """Bytes of a variant's graphs."""
    return sum((folder / f"{name}.onnx").stat().st_size for name in GRAPHS)


def write_table(path: Path, rows: list[dict], columns: Sequence[str] = COLUMNS) -> None:
    """Comma-separated, floats with four decimals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([f"{row[c]:.4f}" if isinstance(row[c], float) else row[c] for c in columns])
