"""`sightline lab faithfulness`: which explanation method is true, measured on questions with known boxes."""

from functools import partial
from itertools import islice
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app

COMPARED, TIMED, ROUNDS = 10, 8, 15  # cases for Quantus; cases and rounds to time


@app.command()
def faithfulness(
    items: Annotated[int, typer.Option(help="Questions; methods that sample get a fifth of them.")] = 500,
    checks: Annotated[int, typer.Option(help="Of them, for broken weights and the shifted picture.")] = 20,
) -> None:
    """Measure every explanation method on test questions with known boxes: metrics/faithfulness.json and
    docs/reports/explanations.md."""
    from sightline.core.artifacts import write_json
    from sightline.core.params import loader
    from sightline.core.params.generation import SPIN_OFF
    from sightline.evaluate.metrics.normalize_answers import same
    from sightline.explain import faithfulness_benchmark
    from sightline.explain.target import ExplainedModel
    from sightline.inference import lazy_models, torch_session
    from sightline.inference.session import Session
    from sightline_lab.bench import explanation_cost
    from sightline_lab.faithfulness import faithfulness_page, randomization

    here = checkout_files.root()
    params = loader.load_params(here / "params.yaml")
    onnx = here / "models" / "onnx"
    vlm = lazy_models.vlm(here / "models" / "vlm")
    subject = ExplainedModel(Session.load_variant(onnx, "fp32"), SPIN_OFF, lambda: vlm, params.seed)
    shipped = ExplainedModel(Session.load(here / "models" / "bundle"), SPIN_OFF, lambda: vlm, params.seed)
    broken = {}
    for name, parts in randomization.PARTS.items():
        without = randomization.shuffled(vlm, parts, params.seed)
        broken[name] = ExplainedModel(
            torch_session.session(without, None, onnx),
            SPIN_OFF,
            partial(lambda model: model, without),
            params.seed,
        )
    answers = faithfulness_benchmark.located_answers(
        subject, here / "data" / "raw", here / "data" / "vqa", "test", same
    )
    cases = list(islice((each for each in answers if each.box is not None), items))
    if not cases:
        raise checkout_files.CheckoutError(
            "faithfulness: no test question about a color was answered correctly where a box is known; it "
            "needs the scenes profile, built by `make repro`"
        )
    measured = faithfulness_benchmark.measure(subject, broken, cases, checks, typer.echo)
    result = {
        "split": "test",
        "question": "What color is the X?",
        "methods": faithfulness_benchmark.summary(measured, params.seed),
        "shipped": faithfulness_benchmark.compare_variants(subject, shipped, params.explain.method, cases),
        "quantus": _crosscheck(subject, cases[:COMPARED]),
        "cost": explanation_cost.ratios(
            shipped, [answers.answer.rgb for answers in cases[:TIMED]],
            [cases[0].answer.question, "Describe the image in detail."], ROUNDS,
        ),
    }  # fmt: skip
    write_json(here / "metrics" / "faithfulness.json", result)
    faithfulness_page.write(here, subject, cases[: faithfulness_page.CASES], params.explain.colormap)
    typer.echo("faithfulness: metrics/faithfulness.json, docs/reports/explanations.md and its picture")


def _crosscheck(subject, cases: list) -> dict:
    """crosscheck.compare on the maps of every method that does not sample, or the reason it was skipped."""
    from sightline.core import registry
    from sightline.explain import faithfulness_benchmark
    from sightline_lab.faithfulness import quantus_crosscheck

    try:
        quantus_crosscheck.quantus()
    except ValueError as error:
        typer.echo(f"faithfulness: {error}")
        return {"n": 0, "absent": str(error)}
    quick = [
        name for name in registry.names("explain/methods") if name not in faithfulness_benchmark.SAMPLING
    ]
    maps = (
        (labelled, faithfulness_benchmark.heat(subject, name, labelled.answer))
        for name in quick
        for labelled in cases
    )
    return quantus_crosscheck.compare(subject, maps)
