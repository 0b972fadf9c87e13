"""evaluate: fp32, and the shipped variant with SPIN off and on. models + data -> {metrics,plots}/evaluate"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline import runtime  # noqa: E402
from sightline.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.evaluate import ask, domain, run
    from sightline.evaluate.predict import Asking, Reranking
    from sightline.export import trained
    from sightline.export.session import Session
    from sightline.search.domain import Domain

    knobs = params.evaluate
    setting = ask.Setting(
        Path("data/raw"), Path("data/vqa"), knobs.splits, knobs.max_items,
        Asking.of(knobs), Reranking.of(knobs), params.asdict("spin"), params.seed, knobs.bootstrap,
    )  # fmt: skip
    loaders = {
        run.REFERENCE: partial(Session.load_variant, Path("models/onnx"), "fp32", threads=params.threads),
        run.SHIPPED: partial(Session.load, Path("models/bundle"), threads=params.threads),
    }
    said = ask.ask_all(loaders, {run.REFERENCE: ["off"], run.SHIPPED: ask.SPINS}, setting)
    blind = trained.session(trained.load_vlm(Path("models/blind")), None, Path("models/onnx"))
    rows = run.evaluate(said, blind, setting, Path("metrics/evaluate"), Path("plots/evaluate"))
    shipped, known = loaders[run.SHIPPED](), Domain.load(Path("models/bundle"))
    rows += domain.evaluate(partial(known.scores, shipped), known.bound, setting, Path("metrics/evaluate"))
    runtime.say(f"{len(rows)} figures with 95 % intervals in metrics/evaluate")


if __name__ == "__main__":
    with runtime.stage("evaluate") as params:
        main(params)
