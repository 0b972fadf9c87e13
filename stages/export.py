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
    clip = trained.load_clip(Path("models/clip"))
    vlm, pruned = trained.load_vlm(Path("models/vlm")), trained.load_vlm(Path("models/compressed"))
    macs = {"fp32": cost.macs(vlm), "pruned": cost.macs(pruned)}
    macs |= {variants.QUANTIZED[name]: count for name, count in macs.items()}
    tokenizer = Path("models/clip/tokenizer.json")
    export(
        params,
        raw.path,
        vqa.path,
        clip,
        vlm,
        pruned,
        tokenizer,
        macs,
        Path("models/onnx"),
        Path("metrics/export"),
    )
    runtime.finish(run)


if __name__ == "__main__":
    with runtime.stage("export") as params:
        main(params)
