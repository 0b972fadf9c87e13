"""A small vision-language model pipeline. Importing the package loads none of its dependencies.

It first turns off what they would send home: each reads its variable when it is imported, and ONNX Runtime
writes a device id and an event database under the user's home in that moment. Child processes inherit them.
OpenVINO has no such variable: importing it sends a message unless its telemetry package cannot be imported.
"""

import os
import sys

TELEMETRY_OFF = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime 1.29 and later, on Linux and macOS
    "GRADIO_ANALYTICS_ENABLED": "False",  # usage statistics, and the look for a newer version
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, and transformers and timm through it
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # of DO_NOT_TRACK it takes only the word true
    "ITERATIVE_DO_NOT_TRACK": "1",  # the library that DVC's tools report with
    "DO_NOT_TRACK": "1",  # what further packages agree on
}
os.environ.update(TELEMETRY_OFF)
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # its import then fails
