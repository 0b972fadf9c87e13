"""`sightline explain`, `explain-match`, `explain-word`, `failures`, `faithfulness`: why did it say that, and
is the explanation true? Attention and black-box methods run without torch."""

from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sightline import project
from sightline.commands.app import BUNDLE, app, judge, open_session, read_image
from sightline.params import loader

OUT = typer.Option("-o", help="The page to write.")
PICTURE = typer.Argument(help="A picture.")
COMPARED, TIMED, ROUNDS = 10, 8, 15  # cases for Quantus; cases and rounds to time
METHOD = typer.Option(help="A file of src/sightline/explain/methods; give several to compare them.")


def open_subject(bundle: Path | None):
    """The shipped model, SPIN off, with its PyTorch form behind it; and the checkout's parameters."""
    from sightline.explain.subject import Subject
    from sightline.export import lazily
    from sightline.export.session import SPIN_OFF

    session, here = open_session(bundle), project.root()
    params = loader.load_params(here / "params.yaml")
    return Subject(session, SPIN_OFF, partial(lazily.vlm, here / "models" / "vlm"), params.seed), params


def write_page(out: Path, path: Path, rgb: np.ndarray, views: list, words, colormap: str) -> None:
    """A page about one picture, and where it is."""
    from sightline.explain import page
    from sightline.explain.items import Item

    item = Item("picture", rgb, path.name, views[0].question, "", [])
    page.write(out, [page.Card(item, views, [None] * len(views))], words, colormap)
    typer.echo(f"open {out}")


@app.command()
def explain(
    image: Annotated[Path, PICTURE],
    question: Annotated[str, typer.Argument()] = "Describe the image in detail.",
    method: Annotated[list[str] | None, METHOD] = None,
    out: Annotated[Path, OUT] = Path("explained.html"),
    spin: Annotated[bool, typer.Option("--spin", help="Gate heads as the bundle says.")] = False,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Answer a question about a picture and show what each word came from: a page that needs no network.

    With cross_attention, the default, the page has a button for every layer and head.
    """
    from sightline.explain import heads, page, run, subject

    model, params = open_subject(bundle)
    if spin:
        model = replace(model, spin=model.session.generation["spin"])
    rgb = read_image(image)
    judge(model.session, rgb)
    case = subject.ask(model, rgb, question)
    methods = method or [params.explain.method]
    views = {name: subject.explained(model, name, case) for name in methods}
    if methods == ["cross_attention"] and case.words:
        views = heads.views(model, case)
    switch, first = list(views) if len(views) > 1 else [], next(iter(views.values()))
    words = page.Words("Why did it say that?", run.LEAD_ONE, switch, run.NOTE, run.unit(first))
    typer.echo(f"Q: {question}\nA: {case.answer}   (confidence {case.confidence:.2f})")
    write_page(out, image, rgb, list(views.values()), words, params.explain.colormap)


@app.command()
def explain_match(
    image: Annotated[Path, PICTURE],
    text: Annotated[str, typer.Argument(help="A caption or a query.")],
    out: Annotated[Path, OUT] = Path("match.html"),
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Show why a picture and a text match: what each word finds in the picture, by hiding parts of both."""
    from sightline.explain import match, page

    model, params = open_subject(bundle)
    rgb = read_image(image)
    found = match.explain(model, rgb, text)
    words = page.Words(
        "Why do these two match?",
        "Point at a word to see where in the picture it is found; <b>whole</b> is the text as a whole. The "
        "words above are shaded by what they add to the similarity.",
        [], "<p>Each map is what hiding that part of the picture costs the similarity, for a word less what "
        "it costs without the word.</p>", "relevance", "similarity", "map of",
    )  # fmt: skip
    typer.echo(f"similarity {found.confidence:.3f}")
    for word, share in found.words[0].text_scores:
        typer.echo(f"  {100 * share:5.1f} %  {word}")
    write_page(out, image, rgb, [found], words, params.explain.colormap)


@app.command()
def explain_word(
    text: Annotated[str, typer.Argument(help="With [MASK] in place of a word.")],
) -> None:
    """Say which words carry a masked word: the text tower alone, by integrated gradients."""
    from sightline.data.tokenizer import Tokenizer
    from sightline.explain import masked
    from sightline.export import lazily

    folder = project.root() / "models" / "text"
    found = masked.explain(lazily.text(folder), Tokenizer.load(folder / "tokenizer.json"), text)
    likely = ", ".join(f"{word} {100 * share:.1f} %" for word, share in found.words)
    typer.echo(f"{masked.MASK}: {likely}\n{found.words[0][0]} is carried by (log-probability):")
    for word, value in found.carried_by:
        typer.echo(f"  {value:+6.2f}  {word}")


@app.command()
def failures(
    count: Annotated[int, typer.Option(help="How many, the surest of every type.")] = 60,
    out: Annotated[Path | None, typer.Option("-o", help="Default: plots/failures.html.")] = None,
) -> None:
    """Browse what the shipped model gets wrong on test: wrong and hallucinated answers with their maps."""
    from sightline.artifacts import read_json
    from sightline.evaluate.answers import same
    from sightline.evaluate.chair import Lexicon
    from sightline.explain import failures as browser
    from sightline.explain import page, run

    here = project.root()
    model, params = open_subject(None)
    objects = read_json(here / "data" / "vqa" / "config.json")["objects"]
    said = here / "metrics" / "evaluate" / "predictions-test-shipped-spin_off.jsonl"
    lexicon = Lexicon(objects)
    found = browser.read(
        said,
        same,
        lambda line: sorted(
            set(lexicon.mentions(line["prediction"])) - set(lexicon.mentions(line["answer"]))
        ),
    )
    chosen = browser.surest(found, count)
    cards = list(browser.cards(model, params.explain.method, chosen, here / "data" / "raw", objects))
    out = out or here / "plots" / "failures.html"
    asked = sum(1 for _ in said.open(encoding="utf-8"))
    unit = run.unit(cards[0].views[0]) if cards else "attention"
    page.write(out, cards, browser.words(found, len(chosen), asked, unit), params.explain.colormap)
    typer.echo(f"failures: {len(found)} of {asked} answers on test, the {len(chosen)} surest in {out}")


@app.command()
def faithfulness(
    items: Annotated[int, typer.Option(help="Questions; methods that sample get a fifth of them.")] = 500,
    checks: Annotated[int, typer.Option(help="Of them, for broken weights and the shifted picture.")] = 20,
) -> None:
    """Measure every explanation method on test questions with known boxes: metrics/faithfulness.json and
    docs/explanations.md."""
    from sightline.artifacts import write_json
    from sightline.bench import explaining
    from sightline.evaluate.answers import same
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
    found = battery.asked(subject, here / "data" / "raw", here / "data" / "vqa", "test", same)
    cases = list(islice((each for each in found if each.box is not None), items))
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
        "shipped": battery.compressed(subject, shipped, params.explain.method, cases),
        "quantus": _crosscheck(subject, cases[:COMPARED]),
        "cost": explaining.ratios(
            shipped, [found.case.rgb for found in cases[:TIMED]],
            [cases[0].case.question, "Describe the image in detail."], ROUNDS,
        ),
    }  # fmt: skip
    write_json(here / "metrics" / "faithfulness.json", result)
    report.write(here, subject, cases[: report.SHOWN], params.explain.colormap)
    typer.echo("faithfulness: metrics/faithfulness.json, docs/explanations.md and docs/explanations.png")


def _crosscheck(subject, cases: list) -> dict:
    """crosscheck.compare on the maps of every method that does not sample, or why it did not happen."""
    from sightline import registry
    from sightline.explain import battery, crosscheck

    try:
        crosscheck.quantus()
    except ValueError as error:
        typer.echo(f"faithfulness: {error}")
        return {"n": 0, "absent": str(error)}
    quick = [name for name in registry.names("explain/methods") if name not in battery.SAMPLING]
    maps = ((found, battery.heat(subject, name, found.case)) for name in quick for found in cases)
    return crosscheck.compare(subject, maps)
