"""export: ONNX graphs, int8, parity, which variant ships. models -> models/onnx, metrics/export"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline import artifacts, runtime  # noqa: E402
from sightline.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.compress import cost
    from sightline.export import trained, variants
    from sightline.export.run import export

    run = runtime.start(params.threads, params.seed)
    raw, vqa = artifacts.load(Path("data/raw"), "raw"), artifacts.load(Path("data/vqa"), "vqa")
    folders = {"fp32": Path("models/vlm"), "pruned": Path("models/compressed")}
    clip = trained.load_clip(Path("models/clip"))
    models = {name: trained.load_vlm(folder) for name, folder in folders.items()}
    folders["clip"] = Path("models/clip")
    sources = {name: artifacts.sha256(folder / artifacts.MANIFEST) for name, folder in folders.items()}
    macs = {name: cost.macs(model) for name, model in models.items()}
    macs |= {variants.QUANTIZED[name]: count for name, count in macs.items()} | {"int4": macs["fp32"]}
    export(
        params,
        raw.path,
        vqa.path,
        clip,
        models,
        sources,
        folders["clip"] / "tokenizer.json",
        macs,
        Path("models/onnx"),
        Path("metrics/export"),
    )
    runtime.finish(run)


if __name__ == "__main__":
    with runtime.stage("export") as params:
        main(params)
