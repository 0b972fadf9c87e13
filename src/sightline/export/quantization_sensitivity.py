"""Which layers int8 hurts: each is quantized alone, and the short answers that then change are counted, and
how far embeddings turn away from float32's."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sightline.core import progress
from sightline.export.quantize import Static
from sightline.inference import calibration_data
from sightline.inference.calibration_data import BATCH, Questions
from sightline.inference.onnx_engine import ANSWERING, CONFIG, GRAPHS, SEARCH_GRAPHS, OnnxEngine, graphs
from sightline.inference.session import Session

COLUMNS = ("graph", "layer", "nodes", "flipped", "turned", "int8")
Layers = dict[str, set[str]]  # graph -> names of layers


def scan(
    root: Path,
    source: str,
    forms: Mapping[str, Static],
    questions: Questions,
    gallery: Sequence[tuple[np.ndarray, str]],
    max_flips: float,
    scratch: Path,
) -> list[dict]:
    """One row of COLUMNS per layer of root/source's graphs that answer or embed. With this layer alone in
    int8, `flipped` is the percentage of answers that differ from float32's; `turned` how much the embeddings
    of the gallery's pictures or texts lose of their cosine to float32's, percent; "" where the graph makes
    none. `int8` is 1 where neither is above `max_flips`. scratch: a folder to make."""
    scratch.mkdir()
    plain = Session.open(root, source)
    shutil.copyfile(root / source / CONFIG, scratch / CONFIG)
    for graph in graphs(plain.engine.config):
        shutil.copyfile(root / source / f"{graph}.onnx", scratch / f"{graph}.onnx")
    before = [answer.ids for answer in calibration_data.answer(plain, questions)] if plain.answers else []
    embedded = {graph: _embeddings(plain, graph, gallery) for graph in SEARCH_GRAPHS if gallery}
    judged = {*embedded, *(ANSWERING if before else ())}
    rows = []
    for graph in (name for name in GRAPHS if name in judged):
        path = scratch / f"{graph}.onnx"
        layers = forms[graph].layers
        for layer, nodes in progress.track(layers.items(), f"layers of {graph} in int8", len(layers)):
            forms[graph].write(path, [layer])
            session = Session(OnnxEngine(scratch), plain.tokenizer, plain.preprocessing, plain.settings)
            lost: dict[str, float] = {}
            if before and graph in ANSWERING:
                pairs = zip(calibration_data.answer(session, questions), before, strict=True)
                lost["flipped"] = 100.0 * float(np.mean([answer.ids != ids for answer, ids in pairs]))
            if graph in embedded:
                kept_N = (_embeddings(session, graph, gallery) * embedded[graph]).sum(1)
                lost["turned"] = 100.0 * float(1.0 - kept_N.mean())
            rows.append(
                {"graph": graph, "layer": layer, "nodes": len(nodes), "flipped": "", "turned": "", **lost,
                 "int8": int(max(lost.values()) <= max_flips)}
            )  # fmt: skip
        shutil.copyfile(root / source / f"{graph}.onnx", path)
    return rows


def _embeddings(session: Session, graph: str, gallery: Sequence[tuple[np.ndarray, str]]) -> np.ndarray:
    """Those that a graph makes of the gallery, of unit length, [N, E]."""
    if graph == "image_encoder":
        return session.encode_images([picture for picture, _ in gallery], BATCH)[1]
    return session.encode_texts([text for _, text in gallery], BATCH)[2]


def in_float(rows: list[dict]) -> Layers:
    """The layers that stay in float32, by graph."""
    kept: Layers = {}
    for row in rows:
        if not row["int8"]:
            kept.setdefault(row["graph"], set()).add(row["layer"])
    return kept
