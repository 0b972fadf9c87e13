"""`sightline lab faithfulness` and `maps`: which explanation method is true, by measures and by eye."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE
from sightline.cli.explain import METHOD
from sightline_lab.cli.app import app

MAPS = Path("plots/maps")
COMPARED, TIMED, ROUNDS = 10, 8, 15  # cases for Quantus; cases and rounds to time


@app.command()
def faithfulness(
    items: Annotated[int, typer.Option(help="Questions; methods that sample get a fifth of them.")] = 500,
    checks: Annotated[int, typer.Option(help="Of them, for broken weights and the shifted picture.")] = 20,
) -> None:
    """Measure every explanation method on test questions about colors: metrics/faithfulness.json and
    docs/reports/explanations.md (of another source of data than scenes with its name in theirs).

    Of rendered scenes the true boxes are known. Photos have none: there places are compared on four photos
    side by side, one of which holds what is asked about.
    """
    from sightline.core.artifacts import write_json
    from sightline.core.params import loader
    from sightline.core.params.generation import SPIN_OFF
    from sightline.evaluate.metrics.normalize_answers import same
    from sightline.explain import faithfulness_benchmark
    from sightline.explain.target import ExplainedModel
    from sightline.inference import lazy_models, torch_session
    from sightline.inference.session import Session
    from sightline_lab.bench import explanation_cost
    from sightline_lab.faithfulness import faithfulness_page, mosaics, randomization

    here = checkout_files.root()
    params = loader.load_params(here / "params.yaml")
    onnx = here / "models" / "onnx"
    vlm = lazy_models.vlm(here / "models" / "vlm")
    subject = ExplainedModel(
        Session.load_variant(onnx, "fp32"), SPIN_OFF, lambda: vlm, params.seed, params.explain.segments
    )
    shipped = ExplainedModel(Session.load(here / "models" / "bundle"), SPIN_OFF, lambda: vlm, params.seed)
    broken = {}
    for name, parts in randomization.PARTS.items():
        without = randomization.shuffled(vlm, parts, params.seed)
        broken[name] = ExplainedModel(
            torch_session.session(without, None, onnx),
            SPIN_OFF,
            partial(lambda model: model, without),
            params.seed,
            params.explain.segments,
        )
    raw, vqa = here / "data" / "raw", here / "data" / "vqa"
    answers = faithfulness_benchmark.located_answers(subject, raw, vqa, "test", same)
    cases = boxed = list(islice((each for each in answers if each.right), items))
    if cases and cases[0].box is None:
        boxed = list(islice(mosaics.located_answers(subject, raw, vqa, "test", same, params.seed), items))
    if not boxed:
        raise checkout_files.CheckoutError(
            "faithfulness: too few test questions about a color were answered correctly, the model knows too "
            "little to be explained; see metrics/summary.json, and train on more data or for longer"
        )
    measured = faithfulness_benchmark.measure(subject, broken, cases, boxed, checks, typer.echo)
    suffix = "" if params.data.source == "scenes" else f"_{params.data.source}"
    result = {
        "split": "test",
        "source": params.data.source,
        "question": "What color is the X?",
        "methods": faithfulness_benchmark.summary(measured, params.seed),
        "shipped": faithfulness_benchmark.compare_variants(subject, shipped, params.explain.method, cases),
        "quantus": _crosscheck(subject, boxed[:COMPARED]),
        "cost": explanation_cost.ratios(
            shipped, [answers.answer.rgb for answers in cases[:TIMED]],
            [cases[0].answer.question, "Describe the image in detail."], ROUNDS,
        ),
    }  # fmt: skip
    write_json(here / "metrics" / f"faithfulness{suffix}.json", result)
    page = f"docs/reports/explanations{suffix}.md"
    if suffix:
        (here / page).write_text(faithfulness_page.photo_page(result), encoding="utf-8", newline="\n")
    else:
        faithfulness_page.write(here, subject, cases[: faithfulness_page.CASES], params.explain.colormap)
    typer.echo(f"faithfulness: metrics/faithfulness{suffix}.json and {page}")


@app.command()
def maps(
    items: Annotated[int, typer.Option(help="Test questions, of every type in turn.")] = 12,
    method: Annotated[list[str] | None, METHOD] = None,
    out: Annotated[
        Path | None, typer.Option("-o", help="Folder to write; default: plots/maps.", file_okay=False)
    ] = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Draw maps of the model's answers on test pictures, for a person to judge: index.html, maps.png and
    verdicts.md, a table to fill in.

    The page and the picture show one word of each answer by every method, at least 224 pixels a side.
    The pictures are those of your data: look whether you may publish them before you do.
    """
    from sightline.cli.explain import open_model
    from sightline.evaluate.metrics.normalize_answers import same
    from sightline.explain import explained_items
    from sightline_lab.faithfulness import maps_to_judge

    here = checkout_files.root()
    model, params = open_model(bundle)
    model.session.require_answers()
    chosen = explained_items.choose(here / "data" / "raw", here / "data" / "vqa", "test", items)
    methods = method or maps_to_judge.METHODS
    drawn = maps_to_judge.draw(model, methods, chosen, same, params.explain.colormap, out or here / MAPS)
    typer.echo(f"maps: {drawn} answers by {', '.join(methods)} in {out or MAPS}/index.html and maps.png")
    typer.echo(f"try: write what you see into {out or MAPS}/verdicts.md")


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
