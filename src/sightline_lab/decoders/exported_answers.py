"""The causal arm as ONNX graphs against PyTorch, question by question.

`compare` runs in a workspace that has its models: `python -m sightline_lab.decoders.exported_answers COUNT`.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from sightline.core import artifacts
from sightline.core.params.loader import Params, load_params
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.export import onnx_graphs, parity
from sightline.export.export_variants import write_settings
from sightline.inference import calibration_data, torch_session
from sightline.inference.session import Session
from sightline_lab.ablations.run_ablations import Study

RESULT = "exported.json"


def run(study: Study, arm: dict[str, Any], seed: int, count: int) -> dict[str, Any]:
    """`compare` in a workspace of the study, for an arm of its result: DVC's cache has its models."""
    folder = study.home / "exported"
    study.copy(folder, arm["changes"] | {"seed": seed})
    study.call(["dvc", "repro", "finetune"], folder)
    study.call([sys.executable, "-m", "sightline_lab.decoders.exported_answers", str(count)], folder)
    return artifacts.read_json(folder / RESULT)


def compare(params: Params, count: int) -> dict:
    """`parity.compare` of the trained fp32 model on `count` questions of val, below the current folder."""
    vlm, clip = torch_session.load_vlm(Path("models/vlm")), torch_session.load_clip(Path("models/clip"))
    asked = calibration_data.read(
        Items(Path("data/raw")), Triples(Path("data/vqa"), "val"), count, params.data.max_pixels
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_settings(
            folder, clip, vlm, Path("models/clip/tokenizer.json"), Path("models/vlm/tokenizer.json")
        )
        onnx_graphs.export_variants(
            {"fp32": vlm}, clip, folder, params.export.opset, {"fp32": "", "clip": ""}
        )
        trained = torch_session.session(vlm, clip, folder)
        return parity.compare(trained, Session.open(folder, "fp32"), asked.images, asked.questions)


if __name__ == "__main__":
    import torch

    resolved = load_params()
    torch.set_num_threads(resolved.threads)
    artifacts.write_json(Path(RESULT), compare(resolved, int(sys.argv[1])))
