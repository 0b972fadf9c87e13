"""`sightline explain`, `explain-match`, `explain-word`, `failures`: why did it say that, and
is the explanation true? Attention and black-box methods run without torch."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, app, judge, open_session, read_image
from sightline.core.params import loader

OUT = typer.Option("-o", help="The page to write.")
PICTURE = typer.Argument(help="A picture.")
METHOD = typer.Option(help="A file of src/sightline/explain/methods; give several to compare them.")


def open_subject(bundle: Path | None):
    """The shipped model, SPIN off, with its PyTorch form behind it; and the checkout's parameters."""
    from sightline.explain.target import Subject
    from sightline.inference import lazy_models
    from sightline.inference.session import SPIN_OFF

    session, here = open_session(bundle), checkout_files.root()
    params = loader.load_params(here / "params.yaml")
    return Subject(session, SPIN_OFF, partial(lazy_models.vlm, here / "models" / "vlm"), params.seed), params


def write_page(out: Path, path: Path, rgb: np.ndarray, views: list, words, colormap: str) -> None:
    """A page about one picture, and where it is."""
    from sightline.explain import heatmap_page
    from sightline.explain.explained_items import Item

    item = Item("picture", rgb, path.name, views[0].question, "", [])
    heatmap_page.write(out, [heatmap_page.Card(item, views, [None] * len(views))], words, colormap)
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
    from sightline.explain import explain_items, head_views, heatmap_page, target

    model, params = open_subject(bundle)
    if spin:
        model = replace(model, spin=model.session.generation["spin"])
    rgb = read_image(image)
    judge(model.session, rgb)
    case = target.ask(model, rgb, question)
    methods = method or [params.explain.method]
    views = {name: target.explained(model, name, case) for name in methods}
    if methods == ["cross_attention"] and case.words:
        views = head_views.views(model, case)
    switch, first = list(views) if len(views) > 1 else [], next(iter(views.values()))
    words = heatmap_page.Words(
        "Why did it say that?", explain_items.LEAD_ONE, switch, explain_items.NOTE, explain_items.unit(first)
    )
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
    from sightline.explain import heatmap_page, match

    model, params = open_subject(bundle)
    rgb = read_image(image)
    found = match.explain(model, rgb, text)
    words = heatmap_page.Words(
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
    from sightline.explain import masked_word
    from sightline.inference import lazy_models

    folder = checkout_files.root() / "models" / "text"
    found = masked_word.explain(lazy_models.text(folder), Tokenizer.load(folder / "tokenizer.json"), text)
    likely = ", ".join(f"{word} {100 * share:.1f} %" for word, share in found.words)
    typer.echo(f"{masked_word.MASK}: {likely}\n{found.words[0][0]} is carried by (log-probability):")
    for word, value in found.carried_by:
        typer.echo(f"  {value:+6.2f}  {word}")


@app.command()
def failures(
    count: Annotated[int, typer.Option(help="How many, the surest of every type.")] = 60,
    out: Annotated[Path | None, typer.Option("-o", help="Default: plots/failures.html.")] = None,
) -> None:
    """Browse what the shipped model gets wrong on test: wrong and hallucinated answers with their maps."""
    from sightline.core.artifacts import read_json
    from sightline.evaluate.metrics.chair import Lexicon
    from sightline.evaluate.metrics.normalize_answers import same
    from sightline.explain import explain_items, heatmap_page
    from sightline.explain import failure_browser as browser

    here = checkout_files.root()
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
    unit = explain_items.unit(cards[0].views[0]) if cards else "attention"
    heatmap_page.write(out, cards, browser.words(found, len(chosen), asked, unit), params.explain.colormap)
    typer.echo(f"failures: {len(found)} of {asked} answers on test, the {len(chosen)} surest in {out}")
