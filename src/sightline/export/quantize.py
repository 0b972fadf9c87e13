"""Static int8 for ONNX graphs: QDQ, activations per tensor, weights per channel (Jacob et al., arXiv
1712.05877).

Scales come from calibration and are part of the graph, so a row's numbers do not depend on its neighbours, as
they would with dynamic scales. Weights use 7 of their 8 bits: x86 processors without VNNI add pairs of 8-bit
products in 16 bits and would saturate, so the same file would answer differently there. Products of two
activations (attention scores, weighted values), convolutions of few numbers and the final scores over the
vocabulary stay in float32.
"""

import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import onnxruntime.quantization
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from sightline.export import gptq
from sightline.inference.onnx_engine import ATTENTION, OnnxEngine

Feed = dict[str, np.ndarray]
QUANTIZED_OPS = ["Conv", "Gemm", "MatMul"]
# The fusion head adds its own logits to a cosine times up to 100: the Gemm nodes that make it stay float32.
GRAPH_OPS = {"fusion": ["MatMul"]}
# What they give is summed in 32 bits and read by float32 nodes (norms, biases, attention): rounding it to
# int8 in between costs time and accuracy.
FLOAT_OUT = ["Gemm", "MatMul"]
FLOAT_ACTIVATIONS, INT8_ACTIVATIONS = 1, 4  # accuracy levels of MatMulNBits
LEAST_SUM = 64  # numbers: int8 saves no time where a convolution sums fewer, as the first one of a picture
FEEDS_PER_GRAPH = 48  # recorded calls beyond it are thinned out evenly: calibration time grows with them


class Recorder(OnnxEngine):
    """An engine that remembers what its graphs were fed: calibration data from the real pipeline, caches
    included."""

    def __init__(self, folder: Path):
        super().__init__(folder)  # one thread: what threads deal out does not pass `_run`
        self.feeds: dict[str, list[Feed]] = {}

    def _run(self, graph: str, outputs: list[str], feed: Feed) -> list[np.ndarray]:
        self.feeds.setdefault(graph, []).append(feed)
        return super()._run(graph, outputs, feed)


def thinned(feeds: list[Feed]) -> list[Feed]:
    """At most FEEDS_PER_GRAPH of them."""
    indices = np.linspace(0, len(feeds) - 1, min(len(feeds), FEEDS_PER_GRAPH)).round().astype(int)
    return [feeds[index] for index in indices]


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: list[Feed]):
        self._feeds = iter(thinned(feeds))

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


class Static:
    """The static int8 forms of one graph: prepared and calibrated once, written as often as wanted.

    `layers`: the nodes that int8 reaches, by layer: a module path up to its first number (blocks of a stack),
    or its first two parts. scratch: an empty folder of its own. Raises ValueError without calibration feeds.
    """

    def __init__(self, source: Path, feeds: list[Feed], scratch: Path):
        if not feeds:
            raise ValueError(f"{source}: no calibration data; raise export.calibration_items")
        self._prepared, self._ranges, self._feeds = scratch / "prepared.onnx", scratch / "ranges.json", feeds
        self._types = GRAPH_OPS.get(source.stem, QUANTIZED_OPS)
        with _without_warnings():
            quant_pre_process(str(source), str(self._prepared), skip_symbolic_shape=True)
        model, self._outputs = onnx.load(self._prepared), onnx.load(source).graph.output
        _drop_explanations(model.graph)
        onnx.save(model, self._prepared)
        self._excluded = _final_scores(model) + _short_sums(model)
        constants = {tensor.name for tensor in model.graph.initializer}
        self.layers: dict[str, list[str]] = {}
        for node in model.graph.node:
            reached = node.op_type in self._types and node.name not in self._excluded
            if reached and constants.intersection(node.input):
                self.layers.setdefault(_layer(node.name), []).append(node.name)

    def moments(self) -> dict[str, np.ndarray]:
        """Sum of x x^T over all inputs x of every matrix that int8 reaches, float64 [R, R], by its name."""
        model = onnx.load(self._prepared)
        reached = {name for nodes in self.layers.values() for name in nodes}
        constants = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 2}
        read = [
            node.input[:2]
            for node in model.graph.node
            if node.name in reached and node.op_type in ("Gemm", "MatMul") and node.input[1] in constants
        ]
        if not read:
            return {}
        names = sorted({name for name, _ in read} - {value.name for value in model.graph.input})
        outputs = {value.name for value in model.graph.output}
        model.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in names
            if name not in outputs
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.use_deterministic_compute = 1, True
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        sums: dict[str, np.ndarray] = {}
        for feed in thinned(self._feeds):
            values = feed | (dict(zip(names, session.run(names, feed), strict=True)) if names else {})
            for name, weight in read:
                rows_NR = values[name].reshape(-1, values[name].shape[-1]).astype(np.float64)
                sums[weight] = sums.get(weight, 0.0) + rows_NR.T @ rows_NR
        return sums

    def write(self, target: Path, layers: Collection[str] | None = None) -> None:
        """Write the graph with these layers in int8 (None: all) and the others in float32."""
        chosen = self.layers if layers is None else layers
        nodes = [node for layer in chosen for node in self.layers[layer]]
        with _without_warnings():
            quantize_static(
                str(self._prepared),
                str(target),
                _Reader(self._feeds),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=self._types,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=nodes or ["none"],  # an empty list would mean all
                nodes_to_exclude=self._excluded,
                calibrate_method=CalibrationMethod.MinMax,
                calibration_cache_path=str(self._ranges),
                extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": FLOAT_OUT},
            )
        finish(target, self._outputs)


def quantize(source: Path, target: Path, feeds: list[Feed], layers: Collection[str] | None = None) -> None:
    """Write the static int8 form of the graph `source`; see Static."""
    with tempfile.TemporaryDirectory() as scratch:
        Static(source, feeds, Path(scratch)).write(target, layers)


def quantize_dynamic(source: Path, target: Path) -> None:
    """Write the graph with int8 weights and activation scales found at run time. A row's numbers then depend
    on its neighbours in the batch, so this form is for comparison and never ships."""
    model = onnx.load(source)
    del model.graph.value_info[:]  # the quantizer turns Gemm into MatMul and leaves their old shapes standing
    with _without_warnings():
        onnxruntime.quantization.quantize_dynamic(
            model,
            str(target),
            op_types_to_quantize=["MatMul"],  # processors have no dynamic convolution
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_final_scores(model),
            extra_options={"MatMulConstBOnly": True},
        )
    finish(target, onnx.load(source).graph.output)


def quantize_int4(
    source: Path,
    target: Path,
    level: int = FLOAT_ACTIVATIONS,
    moments: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the graph with 4-bit weights in blocks of 32 along a matrix product's sum (ONNX Runtime's
    MatMulNBits), activations in float32 or, with INT8_ACTIVATIONS, rounded to int8 row by row at run time, so
    that a row's numbers do not depend on its neighbours; convolutions stay float32. moments: of the products'
    inputs (Static.moments), so that weights are rounded for those (see gptq)."""
    with tempfile.TemporaryDirectory() as scratch, _without_warnings():
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(prepared)
        weights = {f"{tensor.name}_Q4": tensor for tensor in model.graph.initializer}
        quantizer = MatMulNBitsQuantizer(
            model, bits=4, block_size=gptq.BLOCK, is_symmetric=True, accuracy_level=level,
            nodes_to_exclude=_final_scores(model),
        )  # fmt: skip
        quantizer.process()
        graph = quantizer.model.model.graph
        made = [weights[tensor.name] for tensor in graph.initializer if tensor.name in weights]
        for weight in made:
            if moments is not None and weight.dims[0] % gptq.BLOCK == 0:
                _round(graph, weight, moments[weight.name])
        quantizer.model.save_model_to_file(str(target))
    finish(target, onnx.load(source).graph.output)


def _round(graph: onnx.GraphProto, weight: onnx.TensorProto, moment_RR: np.ndarray) -> None:
    """Put GPTQ's rounding of a weight in the place of MatMulNBits' own."""
    levels_BGC, scale_B1C = gptq.rounded(numpy_helper.to_array(weight), moment_RR)
    nibbles_CBG = (levels_BGC + 8).transpose(2, 0, 1).astype(np.uint8)  # 8 is the level 0
    stored = {
        f"{weight.name}_Q4": nibbles_CBG[..., ::2] | nibbles_CBG[..., 1::2] << 4,
        f"{weight.name}_scales": scale_B1C[:, 0].T,
    }
    for tensor in graph.initializer:
        if tensor.name in stored:
            values = stored[tensor.name].reshape(tuple(tensor.dims))
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))


def _drop_explanations(graph: onnx.GraphProto) -> None:
    """Make attention maps and gates no outputs. Calibration would read them for nothing, and ONNX Runtime
    warns of each map: ONNX infers the length 0 for the weights of an attention node, whatever is declared."""
    kept = [value for value in graph.output if value.name.split(".")[0] not in ATTENTION]
    del graph.output[:]
    graph.output.extend(kept)


def finish(path: Path, outputs: Sequence[onnx.ValueInfoProto]) -> None:
    """Leave only the model in the file that a quantizer wrote, with the outputs as its source declares them,
    and check it."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    del model.metadata_props[:]
    used = {"" if node.domain == "ai.onnx" else node.domain for node in model.graph.node} | {""}
    imports = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _layer(node: str) -> str:
    parts = node.split("/")[0].split(".")
    number = next((index for index, part in enumerate(parts) if part.isdigit()), 1)
    return ".".join(parts[: number + 1])


def _final_scores(model: onnx.ModelProto) -> list[str]:
    """The product with the word embeddings: the nodes between the last MatMul and the output `logits`."""
    makers = {name: node for node in model.graph.node for name in node.output}
    node = makers.get("logits")
    while node is not None and node.op_type not in ("MatMul", "Gemm"):
        node = next((makers[name] for name in node.input if name in makers), None)
    return [] if node is None else [node.name]


def _short_sums(model: onnx.ModelProto) -> list[str]:
    """Convolutions over all channels that sum fewer than LEAST_SUM numbers."""
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in shapes and not _grouped(node)
        if np.prod(shapes[node.input[1]][1:]) < LEAST_SUM
    ]


def _grouped(node: onnx.NodeProto) -> bool:
    return any(entry.name == "group" and entry.i > 1 for entry in node.attribute)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """The quantizer recommends what was just done; warnings about it are not for users."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
