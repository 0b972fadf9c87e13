"""GPTQ against its definition, and the graphs that hold what it rounds."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sightline.export import gptq, quantize

ROWS, COLUMNS = 2 * gptq.BLOCK, 5


def drawn(seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """(weight, inputs): inputs that go together, as those of a trained layer do."""
    draw = np.random.default_rng(seed)
    weight_RC = draw.normal(size=(rows, COLUMNS)).astype(np.float32)
    return weight_RC, draw.normal(size=(300, 8)) @ draw.normal(size=(8, rows)) + draw.normal(size=(300, rows))


def unfolded(levels_BGC: np.ndarray, scale_B1C: np.ndarray) -> np.ndarray:
    return (levels_BGC * scale_B1C).reshape(-1, levels_BGC.shape[2])


def by_definition(weight_RC: np.ndarray, moment_RR: np.ndarray, scale_B1C: np.ndarray) -> np.ndarray:
    """Equations 2 and 3 of the paper, the inverse taken anew for every row: levels [R, C]."""
    left_RC = weight_RC.astype(np.float64)
    hessian_RR = moment_RR + gptq.DAMP * np.mean(np.diag(moment_RR)) * np.eye(len(moment_RR))
    levels = []
    for row in range(len(left_RC)):
        scale_C = scale_B1C[row // gptq.BLOCK, 0]
        levels.append(np.clip(np.rint(left_RC[row] / scale_C), -gptq.LEVELS, gptq.LEVELS))
        inverse = np.linalg.inv(hessian_RR[row:, row:])
        error_C = (left_RC[row] - levels[-1] * scale_C) / inverse[0, 0]
        left_RC[row:] -= np.outer(inverse[:, 0], error_C)
    return np.array(levels)


def test_levels_are_those_of_the_definition():
    weight_RC, x_NR = drawn(0)
    levels_BGC, scale_B1C = gptq.rounded(weight_RC, x_NR.T @ x_NR)
    expected = by_definition(weight_RC, x_NR.T @ x_NR, scale_B1C)
    np.testing.assert_array_equal(levels_BGC.reshape(ROWS, COLUMNS), expected)


def test_the_product_changes_less_than_by_rounding_to_the_nearest():
    weight_RC, x_NR = drawn(1)
    known_NR, new_NR = np.split(x_NR, 2)
    errors = [
        np.square(new_NR @ (unfolded(*gptq.rounded(weight_RC, moment_RR)) - weight_RC)).mean()
        for moment_RR in (known_NR.T @ known_NR, np.eye(ROWS))
    ]
    assert errors[0] < 0.5 * errors[1]  # measured 0.22, on inputs that were not seen


def test_without_inputs_every_weight_goes_to_its_nearest():
    """By hand: a block of which the scale is known is rounded as one would."""
    weight_RC = np.zeros((gptq.BLOCK, 1), dtype=np.float32)
    weight_RC[:5, 0] = [7.0, -7.0, 2.4, 2.6, -0.6]
    levels_BGC, scale_B1C = gptq.rounded(weight_RC, np.eye(gptq.BLOCK))
    assert levels_BGC[0, :5, 0].tolist() == [7, -7, 2, 3, -1] and scale_B1C.tolist() == [[[1.0]]]


@given(seed=st.integers(0, 50), silent=st.booleans(), kind=st.sampled_from([np.float16, np.float32]))
def test_levels_fit_four_bits_and_scales_their_kind(seed, silent, kind):
    weight_RC, x_NR = drawn(seed)
    x_NR = np.zeros_like(x_NR) if silent else x_NR * (np.arange(ROWS) % 3 > 0)  # inputs that are never there
    levels_BGC, scale_B1C = gptq.rounded(weight_RC, x_NR.T @ x_NR, kind)
    assert levels_BGC.shape == (2, gptq.BLOCK, COLUMNS) and scale_B1C.shape == (2, 1, COLUMNS)
    assert np.abs(levels_BGC).max() <= gptq.LEVELS and (scale_B1C > 0).all()
    assert (scale_B1C.astype(kind).astype(np.float32) == scale_B1C).all()


@pytest.fixture
def product(tmp_path):
    """A graph out = (x * 2) @ w, its weight and what it is fed."""
    weight_RC, x_NR = drawn(2, 64)
    held = [
        numpy_helper.from_array(weight_RC, "w"),
        numpy_helper.from_array(np.array(2.0, dtype=np.float32), "two"),
    ]
    sizes = {"x": 64, "out": COLUMNS}
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, size]) for n, size in sizes.items()]
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["y"], "double"),
        helper.make_node("MatMul", ["y", "w"], ["out"], "linear.0"),
    ]
    made = helper.make_graph(nodes, "g", values[:1], values[1:], held)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path = tmp_path / "product.onnx"
    path.write_bytes(model.SerializeToString())
    return path, weight_RC, [{"x": part.astype(np.float32)} for part in np.split(x_NR, 3)]


def test_moments_are_of_what_the_matrix_is_multiplied_with(product, tmp_path):
    path, _, feeds = product
    (tmp_path / "scratch").mkdir()
    moments = quantize.Static(path, feeds, tmp_path / "scratch").moments()
    read_NR = 2 * np.concatenate([feed["x"] for feed in feeds]).astype(np.float64)
    assert list(moments) == ["w"]
    np.testing.assert_allclose(moments["w"], read_NR.T @ read_NR, rtol=1e-6)


def test_the_kernel_of_four_bits_multiplies_what_was_rounded(product, tmp_path):
    path, weight_RC, feeds = product
    x_NR = feeds[0]["x"]
    moments = {"w": (4.0 * x_NR.T @ x_NR).astype(np.float64)}
    target = tmp_path / "int4.onnx"
    quantize.quantize_int4(path, target, moments=moments)
    assert "MatMulNBits" in {node.op_type for node in onnx.load(target).graph.node}
    found = ort.InferenceSession(target, providers=["CPUExecutionProvider"]).run(["out"], {"x": x_NR})[0]
    expected = 2 * x_NR @ unfolded(*gptq.rounded(weight_RC, moments["w"]))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)  # sums of 64 in float32


def test_a_convolution_of_few_numbers_stays_float32(root):
    """The first one of a tower sums three channels; int8 reaches those that sum LEAST_SUM numbers or more."""
    before, after = (onnx.load(root / form / "vision.onnx").graph for form in ("fp32", "int8"))
    shapes = {tensor.name: tensor.dims for tensor in before.initializer}
    sums = [np.prod(shapes[node.input[1]][1:]) for node in before.node if node.op_type == "Conv"]
    makers = {name: node.op_type for node in after.node for name in node.output}
    int8 = [makers.get(n.input[1]) == "DequantizeLinear" for n in after.node if n.op_type == "Conv"]
    assert int8 == [size >= quantize.LEAST_SUM for size in sums] and set(int8) == {True, False}
