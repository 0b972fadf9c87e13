"""The variants of a model, what each costs and loses, and which one ships.

fp32 is the trained model, pruned the compressed one, int8 and pruned_int8 their quantized forms. int4 is int8
with 4 bits a weight in the file wherever a matrix is multiplied, and in the decoder at work too. Candidates
are tried from the smallest to the largest. The first ships that loses at most `max_drop` points of its short
answers' accuracy, and LIKELIHOOD_LOSS percent of how likely a token of true descriptions is to it. A model
that only searches has no pruned form and no such loss.
"""

import csv
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sightline.core import progress
from sightline.core.artifacts import read_json
from sightline.export import onnx_metadata, packed_weights
from sightline.export.quantization_sensitivity import Layers
from sightline.export.quantize import INT8_ACTIVATIONS, Recorder, Static, quantize_int4
from sightline.inference.calibration_data import BATCH, Judge, Questions
from sightline.inference.onnx_engine import CONFIG, SEARCH_SIDE, graphs
from sightline.inference.session import Session

CANDIDATES = ("int4", "pruned_int8", "int8", "pruned", "fp32")
PRUNED_GRAPHS = ("memory", "decoder")  # the graphs that pruning changes
QUANTIZED = {"fp32": "int8", "pruned": "pruned_int8"}
FALLBACK = {"int8": "fp32", "pruned_int8": "fp32", "int4": "int8"}  # whose search side replaces a bad one
SEARCHES_WITH = {"pruned": "fp32", "pruned_int8": "int8"}  # pruning leaves the search side alone
RERANKED, RERANK_TOP = 200, 5  # queries and candidates that check the fusion head


def written(root: Path) -> list[str]:
    """The variants in a folder, the best to ship first."""
    return [name for name in CANDIDATES if (root / name).is_dir()]


def calibrate(
    root: Path, source: str, questions: Questions, gallery: Sequence[tuple[np.ndarray, str]], scratch: Path,
    batch: int = BATCH,
) -> dict[str, Static]:  # fmt: skip
    """The graphs of root/source ready for int8, calibrated by answering and embedding; without `gallery` only
    those that answer. scratch: a folder to make; batch: rows of a call."""
    session = Session.open(root, source)
    session.engine = recorder = Recorder(root / source)
    if session.answers:
        session.answer(questions.images, questions.questions, batch_size=batch)
    if gallery:
        tokens, _ = session.encode_images([picture for picture, _ in gallery], BATCH)
        states, mask, _ = session.encode_texts([text for _, text in gallery], BATCH)
        session.match(tokens, states, mask, BATCH)
    forms = {}
    for graph, feeds in recorder.feeds.items():
        folder = scratch / graph
        folder.mkdir(parents=True)
        forms[graph] = Static(root / source / f"{graph}.onnx", feeds, folder)
    return forms


def calibration_digest(questions: Questions, gallery: Sequence[tuple[np.ndarray, str]]) -> str:
    """sha256 of the questions, pictures and texts of the calibration."""
    digest = hashlib.sha256()
    for picture, text in [*zip(questions.images, questions.questions, strict=True), *gallery]:
        digest.update(repr((picture.shape, text)).encode() + picture.tobytes())
    return digest.hexdigest()


def write_int8(
    root: Path, source: str, forms: Mapping[str, Static], in_float: Layers, calibration: str
) -> None:
    """Write the int8 form of root/source but for the layers `in_float`.

    Variants share every graph but PRUNED_GRAPHS: the others are quantized with fp32's and then copied. What
    stays in float32 at work lies in the file as int8 (packed_weights.fold).
    calibration: what calibration_digest gave; it goes into the files.
    """
    folder, whole = root / QUANTIZED[source], root / QUANTIZED["fp32"]
    folder.mkdir()
    shutil.copyfile(root / source / CONFIG, folder / CONFIG)
    for graph in graphs(read_json(folder / CONFIG)):
        target = folder / f"{graph}.onnx"
        if source != "fp32" and graph not in PRUNED_GRAPHS:
            shutil.copyfile(whole / f"{graph}.onnx", target)
            continue
        float_layers = in_float.get(graph, set())
        forms[graph].write(target, [layer for layer in forms[graph].layers if layer not in float_layers])
        packed_weights.fold(target)
        facts = onnx_metadata.read(root / source / f"{graph}.onnx")
        onnx_metadata.stamp(target, facts | {"calibration": calibration})


def write_int4(root: Path, forms: Mapping[str, Static]) -> None:
    """Write root/int4 from root/int8, and its decoder from root/fp32: that one multiplies a row or few at a
    time, where reading 4 bits a weight is faster; the others multiply many, where int8 kernels are.

    forms: fp32's, which know what the weights are multiplied with.
    """
    folder = root / "int4"
    folder.mkdir()
    shutil.copyfile(root / "int8" / CONFIG, folder / CONFIG)
    for graph in graphs(read_json(folder / CONFIG)):
        source, target = root / "int8" / f"{graph}.onnx", folder / f"{graph}.onnx"
        facts, moments = onnx_metadata.read(source), forms[graph].moments()
        if graph == "decoder":
            quantize_int4(root / "fp32" / f"{graph}.onnx", target, INT8_ACTIVATIONS, moments)
            packed_weights.fold(target)
        else:
            shutil.copyfile(source, target)
            packed_weights.fold(target, moments)
            facts["opset"] = str(packed_weights.INT4_OPSET)
        onnx_metadata.stamp(target, facts)


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
    judges: Sequence[Judge],
    gallery: Sequence[tuple[np.ndarray, str]],
    max_drop: float,
) -> tuple[str, list[dict]]:
    """(name of the variant that ships, one row per variant).

    A quantized search side that loses more than `max_drop` points of R@1 is replaced, in place, by that of
    its FALLBACK. judges: of the answers; none where the model only searches.
    """
    rows: dict[str, dict] = {}
    candidates = written(root)
    for name in progress.track(candidates[::-1], "measuring variants"):
        session = Session.open(root, name)
        r1, reranked = retrieval(session, gallery)
        base = rows.get("fp32", {"r1": r1, "reranked_r1": reranked})
        search_graphs = SEARCHES_WITH.get(name, name)
        if name in FALLBACK and max(base["r1"] - r1, base["reranked_r1"] - reranked) > max_drop:
            other = rows[FALLBACK[name]]
            for graph in SEARCH_SIDE:
                shutil.copyfile(root / FALLBACK[name] / f"{graph}.onnx", root / name / f"{graph}.onnx")
            r1, reranked, search_graphs = other["r1"], other["reranked_r1"], other["search_graphs"]
            session = Session.open(root, name)  # its text tower reads questions too
        row = rows[name] = {"variant": name, "bytes": size(root / name), "macs": macs[name]}
        for judge in judges:
            row[judge.figure] = judge.measure(session)
            whole = base.get(judge.figure, row[judge.figure])
            row[f"{judge.figure}_drop"] = judge.drop(whole, row[judge.figure])
        row |= {
            "r1": r1, "r1_drop": base["r1"] - r1,
            "reranked_r1": reranked, "reranked_r1_drop": base["reranked_r1"] - reranked,
            "search_graphs": search_graphs,
        }  # fmt: skip
    allowed = {f"{judge.figure}_drop": judge.allowed(max_drop) for judge in judges} or {"r1_drop": max_drop}
    shipped = next(
        name for name in candidates if all(rows[name][drop] <= most for drop, most in allowed.items())
    )
    for name, row in rows.items():
        row["ships"] = int(name == shipped)
    return shipped, list(rows.values())


def size(folder: Path) -> int:
    """Bytes of a variant's graphs."""
    return sum(path.stat().st_size for path in folder.glob("*.onnx"))


def write_table(path: Path, rows: list[dict], columns: Sequence[str]) -> None:
    """Comma-separated, floats with four decimals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([f"{row[c]:.4f}" if isinstance(row[c], float) else row[c] for c in columns])
