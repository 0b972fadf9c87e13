"""A graph under OpenVINO's own runtime, where an ONNX Runtime session would be; reads the same ONNX files.

https://docs.openvino.ai. The package is optional (requirements-openvino.in), imported when a graph is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

PACKAGE, DEVICE = "openvino", "CPU"
INSTALL = "pip install -r requirements-openvino.in"


class Input(NamedTuple):
    """shape: None where a dimension is free."""

    name: str
    shape: list[int | None]


class OpenVINOGraph:
    """Implements `onnx_engine.Graph`. provider: what `get_providers` says; precision: what it computes in
    where the graph is float32, `f32` or `bf16`. Threads of the caller take turns.

    OpenVINO computes every output that a model has, so each choice of outputs is a model of its own, compiled
    when it is first asked for: a decoder that also gives its attention maps cannot fuse its attention.
    """

    def __init__(self, model: bytes, threads: int, provider: str, precision: str) -> None:
        self._core, self._provider = _core(), provider
        self._model = self._core.read_model(model=model)
        self._settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # other processes use the cores, too
        }
        self._requests: dict[tuple[str, ...], Any] = {}
        self._turn = threading.Lock()

    def run(self, outputs: Sequence[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        with self._turn:
            request = self._request(tuple(outputs))
            request.infer(feed, share_inputs=True)
            # Copies: the request writes its next results to the same memory.
            return [np.array(request.get_tensor(name).data) for name in outputs]

    def get_inputs(self) -> list[Input]:
        return [
            Input(
                one.get_any_name(),
                [size.get_length() if size.is_static else None for size in one.partial_shape],
            )
            for one in self._model.inputs
        ]

    def get_providers(self) -> list[str]:
        return [self._provider]

    def _request(self, outputs: tuple[str, ...]) -> Any:
        if outputs not in self._requests:
            model = self._model.clone()
            for result in model.get_results():
                if not result.output(0).get_names().intersection(outputs):
                    model.remove_result(result)
            compiled = self._core.compile_model(model, DEVICE, self._settings)
            self._requests[outputs] = compiled.create_infer_request()
        return self._requests[outputs]


def lacking(precision: str) -> str | None:
    """What is not there to compute in this precision, with its cure; None where all is."""
    if find_spec(PACKAGE) is None:
        return f"the package {PACKAGE} is not installed: {INSTALL}"
    can = _core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    if {"f32": "FP32", "bf16": "BF16"}[precision] not in can:
        return f"this processor does not compute in {precision}: take openvino"
    return None


def version() -> str:
    return installed_version(PACKAGE)


@cache
def _core() -> Any:
    import openvino  # `sightline` has cut it off from its telemetry

    return openvino.Core()
