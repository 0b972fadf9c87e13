"""The decoder's graph with less to do in a step: what flows in and out is of one layer each.

The exporter writes keys and values of all layers as one tensor: each step would then cut and copy the
memory of every layer out of it and glue the grown caches together. L layers.
"""

from collections.abc import MutableSequence

import onnx
from onnx import GraphProto, NodeProto, ValueInfoProto, helper, numpy_helper

from sightline.inference.onnx_engine import ATTENTION, CACHE, CROSS, GROWN


def unstack(model: onnx.ModelProto) -> onnx.ModelProto:
    """Split every input and output of the decoder that is stacked by layers, [L, ...], into L of their own;
    the numbers stay the same bits. Raises ValueError where the graph does otherwise with one than take its
    layers, or ask for its shape, or put it together from them."""
    graph = model.graph
    for name in CACHE + CROSS:
        _unstack_input(graph, name)
    for name in GROWN + ATTENTION:
        _unstack_output(graph, name)
    _drop_unread(graph)
    _declare_memory(graph)
    return model


def _unstack_input(graph: GraphProto, name: str) -> None:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept, renamed = [], {}
    for node in graph.node:
        if name not in node.input:
            kept.append(node)
        elif node.op_type == "Shape":
            # The layers were the shape's first axis; all layers have the same.
            for entry in node.attribute:
                entry.i -= 1
            node.input[0] = f"{name}.0"
            kept.append(node)
        elif node.op_type == "Gather" and not _axis(node) and node.input[1] in constants:
            layer = int(numpy_helper.to_array(constants[node.input[1]]))
            renamed[node.output[0]] = f"{name}.{layer}"
        else:
            raise ValueError(f"decoder: {node.op_type} reads all layers of {name}, expected one at a time")
    _replace(graph.input, name)
    del graph.node[:]
    graph.node.extend(kept)
    _rename(graph, renamed)


def _unstack_output(graph: GraphProto, name: str) -> None:
    makers = {output: node for node in graph.node for output in node.output}
    stacked = makers[name]
    # A single layer is not put together with others.
    parts = [makers[part] for part in stacked.input] if stacked.op_type == "Concat" else [stacked]
    if _axis(stacked) or {part.op_type for part in parts} != {"Unsqueeze"}:
        raise ValueError(f"decoder: {name} comes from {stacked.op_type}, expected layers put together")
    _replace(graph.output, name)
    renamed = {part.input[0]: f"{name}.{layer}" for layer, part in enumerate(parts)}
    gone = {node.output[0] for node in (stacked, *parts)}
    kept = [node for node in graph.node if node.output[0] not in gone]
    del graph.node[:]
    graph.node.extend(kept)
    _rename(graph, renamed)


def _drop_unread(graph: GraphProto) -> None:
    """Take out constants that no node reads, as the numbers of the layers: ONNX Runtime warns of each."""
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _declare_memory(graph: GraphProto) -> None:
    """Declare the length of the memory where the exporter declares 0: that is what ONNX infers for the
    weights of an attention node."""
    mask = next(value for value in graph.input if value.name == "mask")
    length = mask.type.tensor_type.shape.dim[1].dim_param
    for value in (*graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value == 0:
                dim.dim_param = length


def _replace(values: MutableSequence[ValueInfoProto], name: str) -> None:
    """One value per layer in the place of the stacked one."""
    index = next(index for index, value in enumerate(values) if value.name == name)
    layers, *dims = values[index].type.tensor_type.shape.dim
    sizes = [dim.dim_param or dim.dim_value for dim in dims]
    kind = values[index].type.tensor_type.elem_type
    after = list(values)[index + 1 :]
    del values[index:]
    values.extend(
        helper.make_tensor_value_info(f"{name}.{layer}", kind, sizes) for layer in range(layers.dim_value)
    )
    values.extend(after)


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in graph.value_info:
        value.name = names.get(value.name, value.name)


def _axis(node: NodeProto) -> int:
    return next((entry.i for entry in node.attribute if entry.name == "axis"), 0)
