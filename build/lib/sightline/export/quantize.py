"""Static int8 for ONNX graphs: QDQ, activations per tensor, weights per channel (Jacob et al., arXiv
1712.05877).

Scales come from calibration and are part of the graph, so a row's numbers do not depend on its neighbours, as
they would with dynamic scales. Weights use 7 of their 8 bits: x86 processors without VNNI add pairs of 8-bit
products in 16 bits and would saturate, so the same file would answer differently there. Products of two
activations (attention scores, weighted values) and the final scores over the vocabulary stay in float32.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from sightline.export.engine import OnnxEngine

Feed = dict[str, np.ndarray]
QUANTIZED_OPS = ["Conv", "Gemm", "MatMul"]
# The fusion head adds its own logits to a cosine times up to 100: the Gemm nodes that make it stay float32.
GRAPH_OPS = {"fusion": ["MatMul"]}
FEEDS_PER_GRAPH = 48  # recorded calls beyond it are thinned out evenly: calibration time grows with them


class Recorder(OnnxEngine):
    """An engine that remembers what its graphs were fed: calibration data from the real pipeline, caches
    included."""

    def __init__(self, folder: Path, threads: int = 1):
        super().__init__(folder, threads)
        self.feeds: dict[str, list[Feed]] = {}

    def _run(self, graph: str, outputs: list[str], **inputs: np.ndarray) -> list[np.ndarray]:
        self.feeds.setdefault(graph, []).append(inputs)
        return super()._run(graph, outputs, **inputs)


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: list[Feed]):
        places = np.linspace(0, len(feeds) - 1, min(len(feeds), FEEDS_PER_GRAPH)).round().astype(int)
        self._feeds = iter([feeds[place] for place in places])

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantize(source: Path, target: Path, feeds: list[Feed]) -> None:
    """Write the int8 form of the graph `source` to `target`. Raises ValueError without calibration feeds."""
    if not feeds:
        raise ValueError(f"{source}: no calibration data; raise export.calibration_items")
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=GRAPH_OPS.get(source.stem, QUANTIZED_OPS),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_final_scores(onnx.load(prepared)),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"MatMulConstBOnly": True},
        )
    model = onnx.load(target)
    del model.metadata_props[:]
    used = {"", *(node.domain for node in model.graph.node)}
    imports = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    onnx.checker.check_model(model, full_check=True)
    target.write_bytes(model.SerializeToString(deterministic=True))


def _final_scores(model: onnx.ModelProto) -> list[str]:
    """The product with the word embeddings: the nodes between the last MatMul and the output `logits`."""
    makers = {name: node for node in model.graph.node for name in node.output}
    node = makers.get("logits")
    while node is not None and node.op_type not in ("MatMul", "Gemm"):
        node = next((makers[name] for name in node.input if name in makers), None)
    return [] if node is None else [node.name]


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer recommends what was just done; warnings about it are not for users."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
