"""explain: why the shipped model answered so, and fp32. models + data -> {metrics,plots}/explain"""

import sys
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.core.params.generation import SPIN_OFF
    from sightline.evaluate.metrics.normalize_answers import same
    from sightline.explain import explain_items, explained_items, faithfulness_benchmark
    from sightline.explain.target import ExplainedModel, explain
    from sightline.inference import lazy_models
    from sightline.inference.encoding import NO_ANSWERS
    from sightline.inference.session import Session

    session = Session.load(Path("models/bundle"), params.threads)
    trained, segments = partial(lazy_models.vlm, Path("models/vlm")), params.explain.segments
    model = ExplainedModel(session, SPIN_OFF, trained, params.seed, segments)
    raw, vqa = (artifacts.load(Path(f"data/{kind}"), kind).path for kind in ("raw", "vqa"))
    chosen, out = [], Path("plots/explain")
    if session.answers:
        chosen = explained_items.choose(raw, vqa, "test", params.explain.items)
        explain_items.run(
            chosen,
            lambda item, spin: explain(
                replace(model, spin=spin), params.explain.method, item.rgb, item.question
            ),
            same,
            session.settings.spin,
            params.explain.colormap,
            out,
        )
    else:
        explain_items.write_none(NO_ANSWERS, out)
    fp32 = ExplainedModel(Session.load_variant(Path("models/onnx"), "fp32", params.threads), SPIN_OFF)
    answers = islice(
        faithfulness_benchmark.located_answers(fp32, raw, vqa, "test", same), faithfulness_benchmark.COMPARED
    )
    compared = faithfulness_benchmark.compare_variants(
        fp32, model, faithfulness_benchmark.COMPARED_BY, answers
    )
    with artifacts.create(Path("metrics/explain"), "metrics", {}) as metrics:
        artifacts.write_json(metrics / "compression.json", compared)
    runtime.log(f"{len(chosen)} questions explained; open {out}/index.html")
    agreed = f"rank correlation {compared['rank_correlation']} over {compared['n']} answers"
    runtime.log(f"maps of fp32 and of the shipped variant: {agreed}")


if __name__ == "__main__":
    with runtime.stage("explain") as params:
        main(params)
