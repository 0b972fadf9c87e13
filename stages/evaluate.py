"""evaluate: fp32 as the bundle answers, the shipped variant with SPIN off and on.
models + data -> {metrics,plots}/evaluate"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.data.shards import Items
    from sightline.evaluate import collect_predictions, evaluation, ood_detection
    from sightline.inference import bundle_settings, torch_session
    from sightline.inference.session import Session

    bundle, onnx = (artifacts.load(Path("models") / kind, kind).path for kind in ("bundle", "onnx"))
    raw, vqa = artifacts.load(Path("data/raw"), "raw"), artifacts.load(Path("data/vqa"), "vqa")
    shipped = bundle_settings.read(bundle / bundle_settings.GENERATION)
    setting = collect_predictions.Setting(
        raw.path, vqa.path, params.evaluate, shipped.generation, shipped.spin, params.seed
    )
    limit = params.evaluate.max_items
    for name in params.evaluate.splits:
        count = len(Items(setting.raw).split(name))
        if limit and count > limit:
            runtime.log(f"{name}: {limit} of {count} items are evaluated (evaluate.max_items)")
    loaders = {
        evaluation.REFERENCE: partial(Session.load_variant, onnx, "fp32", threads=params.threads),
        evaluation.SHIPPED: partial(Session.load, bundle, threads=params.threads),
    }
    spins = {evaluation.REFERENCE: [setting.served], evaluation.SHIPPED: collect_predictions.SPINS}
    if params.dual_encoder.given:
        loaders[evaluation.UNTUNED] = partial(
            torch_session.untuned, params.dual_encoder, params.text.max_tokens, onnx, params.threads
        )
    predictions = collect_predictions.predict_variants(loaders, spins | {evaluation.UNTUNED: []}, setting)
    blind_vlm = torch_session.load_trained_vlm(Path("models/blind"))
    blind = None if blind_vlm is None else torch_session.session(blind_vlm, None, onnx)
    with artifacts.create(Path("metrics/evaluate"), "metrics", {}) as metrics:
        rows = evaluation.evaluate(predictions, blind, setting, metrics, Path("plots/evaluate"))
        rows += ood_detection.evaluate(loaders[evaluation.SHIPPED](), setting, metrics)
    runtime.log(f"{len(rows)} figures with 95 % intervals in metrics/evaluate")


if __name__ == "__main__":
    with runtime.stage("evaluate") as params:
        main(params)
