"""Which layers int8 hurts: each is quantized alone, and the short answers that then change are counted."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sightline.core import progress
from sightline.export.quantize import Static
from sightline.inference import calibration_data
from sightline.inference.calibration_data import Questions
from sightline.inference.onnx_engine import ANSWERING, CONFIG, GRAPHS, OnnxEngine
from sightline.inference.session import Session

COLUMNS = ("graph", "layer", "nodes", "flipped", "int8")
Layers = dict[str, set[str]]  # graph -> names of layers


def scan(
    root: Path,
    source: str,
    forms: Mapping[str, Static],
    questions: Questions,
    max_flips: float,
    scratch: Path,
) -> list[dict]:
    """One row of COLUMNS per layer of the answering graphs of root/source: `flipped` is the percentage of the
    answers that differ from float32's when this layer alone is int8, and `int8` is 1 where that is at most
    `max_flips`. scratch: a folder to make."""
    scratch.mkdir()
    shutil.copyfile(root / source / CONFIG, scratch / CONFIG)
    for graph in GRAPHS:
        shutil.copyfile(root / source / f"{graph}.onnx", scratch / f"{graph}.onnx")
    plain = Session.open(root, source)
    before = [answer.ids for answer in calibration_data.answer(plain, questions)]
    rows = []
    for graph in ANSWERING:
        path = scratch / f"{graph}.onnx"
        layers = forms[graph].layers
        for layer, nodes in progress.track(layers.items(), f"layers of {graph} in int8", len(layers)):
            forms[graph].write(path, [layer])
            session = Session(OnnxEngine(scratch), plain.tokenizer, plain.preprocessing, plain.settings)
            pairs = zip(calibration_data.answer(session, questions), before, strict=True)
            flipped = 100.0 * float(np.mean([answer.ids != ids for answer, ids in pairs]))
            rows.append(
                {"graph": graph, "layer": layer, "nodes": len(nodes), "flipped": flipped,
                 "int8": int(flipped <= max_flips)}
            )  # fmt: skip
        shutil.copyfile(root / source / f"{graph}.onnx", path)
    return rows


def in_float(rows: list[dict]) -> Layers:
    """The layers that stay in float32, by graph."""
    kept: Layers = {}
    for row in rows:
        if not row["int8"]:
            kept.setdefault(row["graph"], set()).add(row["layer"])
    return kept
