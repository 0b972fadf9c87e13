"""Which provider of ONNX Runtime is chosen, said, and refused. OpenVINO: test_openvino_graph.py."""

import numpy as np
import onnxruntime as ort
import pytest

from sightline.cli import diagnostics
from sightline.inference import execution_provider
from sightline.inference.execution_provider import ProviderError
from sightline.inference.onnx_engine import open_graph

CUDA, ROCM, CORE_ML = (f"{name}ExecutionProvider" for name in ("CUDA", "ROCM", "CoreML"))
CPU, OTHER = "CPUExecutionProvider", "AzureExecutionProvider"


@pytest.fixture
def built(monkeypatch):
    """Makes ONNX Runtime a build with some providers."""
    monkeypatch.delenv(execution_provider.VARIABLE, raising=False)
    return lambda *names: monkeypatch.setattr(ort, "get_available_providers", lambda: list(names))


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ((OTHER, CPU), "cpu"),
        (("TensorrtExecutionProvider", CUDA, CPU), "cuda"),
        ((ROCM, CPU), "rocm"),
        ((CORE_ML, OTHER, CPU), "coreml"),
        ((CORE_ML, CUDA, CPU), "cuda"),
    ],
)
def test_the_accelerator_of_the_build_is_chosen_else_the_processor(built, there, chosen):
    built(*there)
    assert execution_provider.chosen() == chosen
    assert (
        execution_provider.arguments(chosen)[0] in there and execution_provider.arguments(chosen)[-1] == CPU
    )


def test_the_variable_forces_one(built, monkeypatch):
    built(CUDA, CPU)
    monkeypatch.setenv(execution_provider.VARIABLE, "cpu")
    assert execution_provider.chosen() == "cpu" and execution_provider.arguments("cpu") == [CPU]
    assert diagnostics.provider().ok and diagnostics.provider().found == "ONNX Runtime computes on cpu"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("cuda", "SIGHTLINE_PROVIDER is 'cuda', but this build of ONNX Runtime has only coreml, cpu"),
        (
            "gpu",
            "SIGHTLINE_PROVIDER is 'gpu', expected one of cuda, rocm, migraphx, coreml, cpu, openvino, "
            "openvino-bf16; ONNX Runtime has here: coreml, cpu",
        ),
    ],
)
def test_one_that_is_not_there_is_an_error_with_what_is(built, monkeypatch, wanted, message):
    built(CORE_ML, CPU)
    monkeypatch.setenv(execution_provider.VARIABLE, wanted)
    with pytest.raises(ProviderError, match=message):
        execution_provider.chosen()
    check = diagnostics.provider()
    assert not check.ok and message in check.found and check.cure == "unset SIGHTLINE_PROVIDER"


def graph(folder):
    import onnx
    from onnx import helper

    made = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )  # fmt: skip
    path = folder / "graph.onnx"
    onnx.save(helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def test_a_session_gets_the_provider_and_says_what_it_runs_on(tmp_path, built, monkeypatch):
    path, asked = graph(tmp_path), []
    session = open_graph(path, 1, execution_provider.chosen())
    assert execution_provider.of(session) == "cpu"
    assert session.run(["y"], {"x": np.float32([3])})[0] == 3
    built(CUDA, CPU)
    monkeypatch.setattr(ort, "InferenceSession", lambda model, options, providers: asked.append(providers))
    open_graph(path, 1, execution_provider.chosen())
    assert asked == [[CUDA, CPU]]
