"""export: ONNX graphs, int8, parity, which variant ships. models -> models/onnx, metrics/export"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.compress import model_cost
    from sightline.export import variants
    from sightline.export.export_variants import ExportInputs, export
    from sightline.inference import torch_session

    run = runtime.start(params.threads, params.seed)
    raw, vqa = artifacts.load(Path("data/raw"), "raw"), artifacts.load(Path("data/vqa"), "vqa")
    clip = torch_session.load_clip(Path("models/clip"), params.export.mirrored_views)
    models = {"fp32": torch_session.load_trained_vlm(Path("models/vlm"))}
    pruned = torch_session.load_trained_vlm(Path("models/compressed"))
    if pruned is not None:
        models["pruned"] = pruned
    folders = {"fp32": Path("models/vlm"), "pruned": Path("models/compressed"), "clip": Path("models/clip")}
    sources = {name: artifacts.sha256(folder / artifacts.MANIFEST) for name, folder in folders.items()}
    macs = {
        name: sum(model_cost.macs_of_embeddings(clip).values()) if model is None else model_cost.macs(model)
        for name, model in models.items()
    }
    macs |= {variants.QUANTIZED[name]: count for name, count in macs.items()} | {"int4": macs["fp32"]}
    tokenizer, of_decoder = (folders[name] / "tokenizer.json" for name in ("clip", "fp32"))
    inputs = ExportInputs(models, clip, sources, macs, tokenizer, of_decoder, raw.path, vqa.path)
    with artifacts.create(Path("metrics/export"), "metrics", {}) as metrics:
        export(params, inputs, Path("models/onnx"), metrics)
    runtime.finish(run)


if __name__ == "__main__":
    with runtime.stage("export") as params:
        main(params)
