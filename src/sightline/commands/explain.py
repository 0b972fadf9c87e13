"""`sightline faithfulness`: are the explanations true?"""

from functools import partial
from itertools import islice
from typing import Annotated

import typer

from sightline import project
from sightline.commands.app import app
from sightline.params import loader


@app.command()
def faithfulness(
    items: Annotated[int, typer.Option(help="Questions; methods that sample get a third of them.")] = 240,
    checks: Annotated[int, typer.Option(help="Of them, for broken weights and the shifted picture.")] = 30,
) -> None:
    """Measure every explanation method on test questions with known boxes: metrics/faithfulness.json and
    docs/explanations.md."""
    from sightline.artifacts import write_json
    from sightline.evaluate.answers import normalise
    from sightline.explain import battery, randomise, report
    from sightline.explain.subject import Subject
    from sightline.export import lazily, trained
    from sightline.export.session import SPIN_OFF, Session

    here = project.root()
    params = loader.load_params(here / "params.yaml")
    onnx = here / "models" / "onnx"
    vlm = lazily.vlm(here / "models" / "vlm")
    subject = Subject(Session.load_variant(onnx, "fp32"), SPIN_OFF, lambda: vlm, params.seed)
    shipped = Subject(Session.load(here / "models" / "bundle"), SPIN_OFF, lambda: vlm, params.seed)
    broken = {}
    for name, parts in randomise.PARTS.items():
        without = randomise.shuffled(vlm, parts, params.seed)
        broken[name] = Subject(
            trained.session(without, None, onnx), SPIN_OFF, partial(lambda model: model, without), params.seed
        )
    found = battery.known(
        subject, here / "data" / "raw", here / "data" / "vqa", "test",
        lambda truth, answer: normalise(truth) == normalise(answer),
    )  # fmt: skip
    cases = list(islice(found, items))
    if not cases:
        raise project.ProjectError(
            "faithfulness: no test question about a color was answered correctly where a box is known; it "
            "needs the scenes profile, built by `make repro`"
        )
    measured = battery.measure(subject, broken, cases, checks, typer.echo)
    result = {
        "split": "test",
        "question": "What color is the X?",
        "methods": battery.summary(measured, params.seed),
        "shipped": {"method": params.explain.method}
        | battery.compressed(subject, shipped, params.explain.method, cases),
    }
    write_json(here / "metrics" / "faithfulness.json", result)
    report.write(here, subject, cases[: report.SHOWN], params.explain.colormap)
    typer.echo("faithfulness: metrics/faithfulness.json, docs/explanations.md and docs/explanations.png")
