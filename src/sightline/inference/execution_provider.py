"""What ONNX Runtime computes on: an accelerator that its build supports, else the processor.

https://onnxruntime.ai/docs/execution-providers. The package `onnxruntime` has the processor only;
`onnxruntime-gpu`, `onnxruntime-rocm` and `onnxruntime-openvino` bring their provider along.
"""

import os
from typing import Any

import onnxruntime as ort

VARIABLE = "SIGHTLINE_PROVIDER"  # names one of PROVIDERS; unset: the first that is there
CPU = "cpu"
PROVIDERS = {  # in the order of preference
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    CPU: "CPUExecutionProvider",
}


class ProviderError(ValueError):
    """A provider that is unknown or not there."""


def chosen() -> str:
    """A key of PROVIDERS: what VARIABLE names, or the first that this build of ONNX Runtime has. Raises
    ProviderError for one that it does not have."""
    available = ort.get_available_providers()
    there = [name for name, provider in PROVIDERS.items() if provider in available]
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return there[0]
    if wanted not in PROVIDERS:
        raise ProviderError(
            f"{VARIABLE} is {wanted!r}, expected one of {', '.join(PROVIDERS)}; here are: {', '.join(there)}"
        )
    if wanted not in there:
        raise ProviderError(
            f"{VARIABLE} is {wanted!r}, but this build of ONNX Runtime has only {', '.join(there)}: install "
            f"the build that brings it along (docs/guide/scale.md#accelerators), or unset {VARIABLE}"
        )
    return wanted


def of(session: Any) -> str:
    """The key of PROVIDERS that an InferenceSession computes on in the first place. ONNX Runtime goes on with
    the processor where a provider of its build finds no device."""
    used = session.get_providers()[0]
    return next((name for name, provider in PROVIDERS.items() if provider == used), used)


def arguments(name: str) -> list[str]:
    """What a session is made with: the provider, and the processor for what it cannot compute."""
    return list(dict.fromkeys([PROVIDERS[name], PROVIDERS[CPU]]))
