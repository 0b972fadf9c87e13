"""Weights that take less room in the file than at work.

Nodes in front of a weight unfold it, and ONNX Runtime computes what depends on constants alone when it loads
a graph: the kernels that run, their speed and their memory are those of the unfolded weights. R rows, C
columns, G rows of a block, B blocks.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from sightline.export import gptq

LEAST = 1024  # elements: what is smaller is not worth its nodes
INT4_OPSET = 21  # the first with 4-bit tensors
INT8 = "_quantized"  # what ONNX Runtime's quantizer adds to a weight's name


def fold(path: Path, moments: Mapping[str, np.ndarray] | None = None) -> None:
    """Rewrite a graph so that its float32 matrices and kernels lie in the file as int8 with a scale per row
    (per column where a product sums over rows). A matrix that is another's transpose (word embeddings at both
    ends of a decoder) is made from it.

    moments: those of what the matrices of int8 kernels are multiplied with, by the float32 weight's name (see
    gptq); given, these matrices take 4 bits: in blocks along the sum, each with a float16 scale, rounded
    again to int8 when they are unfolded. Raises KeyError for such a matrix without them.
    """
    model = onnx.load(path)
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    tied = _tied(model.graph)
    turned = [helper.make_node("Transpose", [of], [name], perm=[1, 0]) for name, of in tied.items()]
    kept: list[TensorProto] = []
    unfolding: list[NodeProto] = []
    for tensor in model.graph.initializer:
        axis = _summed_over(tensor, readers.get(tensor.name, [])) if moments is not None else None
        if tensor.name in tied:
            continue
        if moments is not None and axis is not None:
            tensors, nodes = _four_bits(tensor, axis, moments[tensor.name.removesuffix(INT8)])
        elif tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1 and _size(tensor) >= LEAST:
            tensors, nodes = _eight_bits(tensor, readers[tensor.name])
        else:
            tensors, nodes = [tensor], []
        kept += tensors
        unfolding += nodes
    nodes = unfolding + turned + list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:], model.graph.value_info[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    _shorten(model.graph)
    if moments is not None:
        default = next(opset for opset in model.opset_import if not opset.domain)
        default.version = max(default.version, INT4_OPSET)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _tied(graph: GraphProto) -> dict[str, str]:
    """float32 matrix -> the one whose transpose it is, where both are worth folding."""
    by_content: dict[tuple[tuple[int, ...], bytes], str] = {}
    tied: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2 and _size(tensor) >= LEAST:
            weight = numpy_helper.to_array(tensor)
            turned = by_content.get((weight.shape[::-1], np.ascontiguousarray(weight.T).tobytes()))
            if turned is None:
                by_content[weight.shape, weight.tobytes()] = tensor.name
            else:
                tied[tensor.name] = turned
    return tied


def _shorten(graph: GraphProto) -> None:
    """Give short names to what flows between nodes; inputs, outputs and weights keep theirs."""
    kept = {value.name for value in graph.output}
    names: dict[str, str] = {}
    for node in graph.node:
        for name in node.output:
            if name and name not in kept:
                names[name] = f"t{len(names)}"
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _size(tensor: TensorProto) -> int:
    return int(np.prod(tensor.dims))


def _summed_over(tensor: TensorProto, readers: list[NodeProto]) -> int | None:
    """The axis along which an int8 kernel sums this matrix, where it fills whole blocks; None for others."""
    if tensor.data_type != TensorProto.INT8 or len(tensor.dims) != 2 or _size(tensor) < LEAST:
        return None
    scaled_along = [
        attribute.i
        for node in readers
        if node.op_type == "DequantizeLinear"
        for attribute in node.attribute
        if attribute.name == "axis"
    ]
    axis = 1 - scaled_along[0] if scaled_along else None
    return axis if axis is not None and tensor.dims[axis] % gptq.BLOCK == 0 else None


def _eight_bits(tensor: TensorProto, readers: list[NodeProto]) -> tuple[list[TensorProto], list[NodeProto]]:
    weight, name = numpy_helper.to_array(tensor), tensor.name
    axis = weight.ndim - 1 if {node.op_type for node in readers} == {"MatMul"} else 0
    other_axes = tuple(number for number in range(weight.ndim) if number != axis)
    scale = np.abs(weight).max(axis=other_axes, keepdims=True) / 127
    scale[scale == 0] = 1
    stored = [
        numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), f"{name}.8"),
        numpy_helper.from_array(scale.astype(np.float32), f"{name}.s"),
    ]
    return stored, [
        helper.make_node("Cast", [f"{name}.8"], [f"{name}.f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.f", f"{name}.s"], [name]),
    ]


def _four_bits(
    tensor: TensorProto, axis: int, moment_RR: np.ndarray
) -> tuple[list[TensorProto], list[NodeProto]]:
    name = tensor.name
    weight_RC = numpy_helper.to_array(tensor).astype(np.float32)
    weight_RC = weight_RC if axis == 0 else weight_RC.T
    levels_BGC, scale_B1C = gptq.rounded(weight_RC, moment_RR, np.float16)
    nibbles = (levels_BGC.ravel() & 15).astype(np.uint8)
    packed = (nibbles[::2] | nibbles[1::2] << 4).tobytes()
    stored = [
        helper.make_tensor(f"{name}.4", TensorProto.INT4, levels_BGC.shape, packed, raw=True),
        numpy_helper.from_array(scale_B1C.astype(np.float16), f"{name}.s"),
        numpy_helper.from_array(np.array(weight_RC.shape, dtype=np.int64), f"{name}.d"),
    ]
    nodes = [
        helper.make_node("Cast", [f"{name}.4"], [f"{name}.f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", [f"{name}.s"], [f"{name}.t"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.f", f"{name}.t"], [f"{name}.m"]),
        helper.make_node("Reshape", [f"{name}.m", f"{name}.d"], [f"{name}.r"]),
        helper.make_node("Round", [f"{name}.r"], [f"{name}.i"]),
    ]
    if axis == 1:
        nodes.append(helper.make_node("Transpose", [f"{name}.i"], [f"{name}.x"], perm=[1, 0]))
    nodes.append(helper.make_node("Cast", [nodes[-1].output[0]], [name], to=TensorProto.INT8))
    return stored, nodes
