"""What computes the graphs: ONNX Runtime on an accelerator that its build supports, else on the processor; or
OpenVINO the graphs of pictures, where it is asked for.

https://onnxruntime.ai/docs/execution-providers. The package `onnxruntime` has the processor only;
`onnxruntime-gpu` and `onnxruntime-rocm` bring their provider along. OpenVINO is a package of its own
(openvino_graph.py). It is never chosen by itself: its answers can differ from those that the gate judged.
"""

import os
from typing import Any

import onnxruntime as ort

from sightline.inference import openvino_graph

VARIABLE = "SIGHTLINE_PROVIDER"  # one of PROVIDERS or OPENVINO; unset: the first of PROVIDERS that is there
CPU = "cpu"
PROVIDERS = {  # in the order of preference
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    CPU: "CPUExecutionProvider",
}
OPENVINO = {"openvino": "f32", "openvino-bf16": "bf16"}  # and the precision that it computes in


class ProviderError(ValueError):
    """A provider that is unknown or not there."""


def chosen() -> str:
    """A key of PROVIDERS or OPENVINO: what VARIABLE names, or the first provider that this build of ONNX
    Runtime has. Raises ProviderError for one that is not there."""
    available = ort.get_available_providers()
    there = [name for name, provider in PROVIDERS.items() if provider in available]
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return there[0]
    if wanted in OPENVINO:
        if lacking := openvino_graph.lacking(OPENVINO[wanted]):
            raise ProviderError(f"{VARIABLE} is {wanted!r}, but {lacking}, or unset {VARIABLE}")
        return wanted
    if wanted not in PROVIDERS:
        raise ProviderError(
            f"{VARIABLE} is {wanted!r}, expected one of {', '.join([*PROVIDERS, *OPENVINO])}; ONNX Runtime "
            f"has here: {', '.join(there)}"
        )
    if wanted not in there:
        raise ProviderError(
            f"{VARIABLE} is {wanted!r}, but this build of ONNX Runtime has only {', '.join(there)}: install "
            f"the build that brings it along (docs/guide/scale.md#accelerators), or unset {VARIABLE}"
        )
    return wanted


def described(name: str) -> str:
    """In words: what computes, and on what."""
    if name in OPENVINO:
        return (
            f"OpenVINO {openvino_graph.version()} computes the graphs of pictures, in {OPENVINO[name]}; ONNX "
            f"Runtime the others, on {CPU}"
        )
    return f"ONNX Runtime computes on {name}"


def of(session: Any) -> str:
    """What a graph runs on in the first place: a key of PROVIDERS or OPENVINO. ONNX Runtime goes on with the
    processor where a provider of its build finds no device."""
    used = session.get_providers()[0]
    return next((name for name, provider in PROVIDERS.items() if provider == used), used)


def arguments(name: str) -> list[str]:
    """What a session is made with: the provider, and the processor for what it cannot compute."""
    return list(dict.fromkeys([PROVIDERS[name], PROVIDERS[CPU]]))
