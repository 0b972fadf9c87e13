"""`sightline explain` and `failures`: explanations of answers. Attention and black-box methods run
without torch."""

from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from sightline.cli import checkout_files
from sightline.cli.app import (
    BUNDLE,
    FETCH,
    SPIN,
    TRUST,
    USE,
    app,
    check_domain,
    open_session,
    say,
    warn_of_question,
)

if TYPE_CHECKING:
    from sightline.explain.heatmap import Explanation
    from sightline.explain.heatmap_page import Words
    from sightline.explain.target import ExplainedModel

OUT = typer.Option("-o", help="The page to write; default: explained.html, or match.html with --caption.")
METHOD = typer.Option(help="A file of src/sightline/explain/methods; give several to compare them.")


def open_model(bundle: Path | None):
    """The shipped model as it answers, with its PyTorch form behind it; and the checkout's parameters."""
    from sightline.core.params import loader
    from sightline.explain.target import ExplainedModel
    from sightline.inference import lazy_models

    session, here = open_session(bundle), checkout_files.root()
    params = loader.load_params(here / "params.yaml")
    trained = partial(lazy_models.vlm, here / "models" / "vlm")
    return ExplainedModel(session, session.spin(), trained, params.seed, params.explain.segments), params


def write_page(out: Path, name: str, rgb: np.ndarray, views: list, words, colormap: str) -> None:
    """Write a page about one picture, and print where it is."""
    from sightline.cli import picture_input
    from sightline.explain import heatmap_page
    from sightline.explain.explained_items import DISPLAY_SIDE, Item

    displayed = picture_input.displayed(name, rgb, DISPLAY_SIDE)
    item = Item("picture", rgb, displayed, PurePath(name).name, views[0].question, "", [])
    heatmap_page.write(out, [heatmap_page.Card(item, views, [None] * len(views))], words, colormap)
    say(f"explain: wrote {out}; open it in a browser, it needs no network")


@app.command(rich_help_panel=USE)
def explain(
    image: Annotated[str | None, typer.Argument(help="A picture.", show_default=False)] = None,
    question: Annotated[str | None, typer.Argument(help="Default: Describe the image in detail.")] = None,
    caption: Annotated[
        str | None, typer.Option(help="Explain instead why the picture matches this text, word by word.")
    ] = None,
    masked: Annotated[
        str | None, typer.Option(help="Explain instead the word at [MASK] in this text; without a picture.")
    ] = None,
    method: Annotated[list[str] | None, METHOD] = None,
    out: Annotated[Path | None, OUT] = None,
    spin: Annotated[bool | None, SPIN] = None,
    fetch: Annotated[bool, FETCH] = False,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Show which parts of a picture an answer, a match or a word comes from.

    An answer about a picture gets a page with a map for each of its words. With cross_attention, the default
    method, the page has a button for every layer and head.
    """
    from sightline.cli import picture_input

    chosen = {"QUESTION": question, "--caption": caption, "--masked": masked}
    exclusive = [name for name, value in chosen.items() if value is not None]
    if len(exclusive) > 1:
        raise typer.BadParameter(f"{' and '.join(exclusive)} exclude each other: give one of them")
    if (image is None) != (masked is not None):
        raise typer.BadParameter("give a picture, or --masked TEXT without one")
    if image is not None and caption is None:
        rgb, (model, params) = picture_input.read(image, fetch), open_model(bundle)
        model = replace(model, spin=model.session.spin(spin))
        views, words = _explained(model, image, rgb, question, method or [params.explain.method])
        write_page(out or Path("explained.html"), image, rgb, views, words, params.explain.colormap)
        say(f'try: sightline explain "{image}" --caption "{views[0].answer}"')
    elif method or spin is not None:
        raise typer.BadParameter("--method and --spin are for answers: leave them out here")
    elif masked is not None:
        if out is not None:
            raise typer.BadParameter("--masked writes no page: leave -o out")
        _explain_masked(masked)
    elif image is not None and caption is not None:
        _explain_match(bundle, image, picture_input.read(image, fetch), caption, out)


def _explained(
    model: "ExplainedModel", name: str, rgb: np.ndarray, question: str | None, methods: list[str]
) -> tuple[list["Explanation"], "Words"]:
    """Answer, print the answer, and explain it by every method; returns the views and the page's words."""
    from sightline.data.questions.prompt_template import DESCRIBE
    from sightline.explain import explain_items, head_views, heatmap_page, target
    from sightline.inference.engine import SHORT_ANSWER

    verdict = check_domain(model.session, rgb, name)
    question = question or DESCRIBE
    case = target.ask(model, rgb, question)
    views = {method: target.explain_answer(model, method, case) for method in methods}
    if methods == ["cross_attention"] and case.words:
        views = head_views.views(model, case)
    switch, first = list(views) if len(views) > 1 else [], next(iter(views.values()))
    words = heatmap_page.Words(
        "Why did it say that?", explain_items.LEAD_ONE, switch, explain_items.NOTE, explain_items.unit(first)
    )
    bound = model.session.settings.confidence.sure_above
    unsure = bound is not None and len(case.ids) <= SHORT_ANSWER and case.confidence <= bound
    unlike = warn_of_question(model.session, question) or verdict.get("out_of_domain", False)
    doubt = "not sure, " if unsure or unlike else ""
    say(f"Q: {question}\nA: {case.answer}   ({doubt}confidence {case.confidence:.2f})")
    return list(views.values()), words


def _explain_match(bundle: Path | None, name: str, rgb: np.ndarray, text: str, out: Path | None) -> None:
    from markupsafe import Markup

    from sightline.explain import heatmap_page, match

    model, params = open_model(bundle)
    check_domain(model.session, rgb, name)
    view = match.explain(model, rgb, text)
    words = heatmap_page.Words(
        "Why do these two match?",
        Markup(
            "Point at a word to see where in the picture it is found; <b>whole</b> is the text as a whole. "
            "The words above are shaded by what they add to the similarity."
        ),
        [], "Each map is what hiding that part of the picture costs the similarity, for a word less what it "
        "costs without the word.", "relevance", "similarity", "map of",
    )  # fmt: skip
    say(f"similarity {view.confidence:.3f}")
    for word, share in view.words[0].text_scores:
        say(f"  {100 * share:5.1f} %  {word}")
    write_page(out or Path("match.html"), name, rgb, [view], words, params.explain.colormap)
    say(f'try: sightline search "{text}"')


def _explain_masked(text: str) -> None:
    """Print which words carry a masked word: the text tower alone, by integrated gradients."""
    from sightline.data.tokenizer import Tokenizer
    from sightline.explain import masked_word
    from sightline.inference import lazy_models

    folder = checkout_files.root() / "models" / "text"
    result = masked_word.explain(lazy_models.text(folder), Tokenizer.load(folder / "tokenizer.json"), text)
    likely = ", ".join(f"{word} {100 * share:.1f} %" for word, share in result.words)
    say(f"{masked_word.MASK}: {likely}\n{result.words[0][0]} is carried by (log-probability):")
    for word, value in result.carried_by:
        say(f"  {value:+6.2f}  {word}")
    say(f'try: sightline search "{text.replace(masked_word.MASK, result.words[0][0])}"')


@app.command(rich_help_panel=TRUST)
def failures(
    count: Annotated[int, typer.Option(help="How many, the surest of every type.")] = 60,
    out: Annotated[Path | None, typer.Option("-o", help="Default: plots/failures.html.")] = None,
) -> None:
    """Write a page of the surest wrong and hallucinated answers on test, with their maps."""
    from sightline.core import artifacts
    from sightline.evaluate.metrics.chair import Lexicon
    from sightline.evaluate.metrics.normalize_answers import same
    from sightline.explain import explain_items, heatmap_page
    from sightline.explain import failure_browser as browser

    here = checkout_files.root()
    model, params = open_model(None)
    model.session.require_answers()
    spin = "on" if model.session.settings.generation.spin else "off"  # the answers that users get
    objects = artifacts.load(here / "data" / "vqa", "vqa").config["objects"]
    evaluated = artifacts.load(here / "metrics" / "evaluate", "metrics").path
    predictions = evaluated / f"predictions-test-shipped-spin_{spin}.jsonl"
    lexicon = Lexicon(objects)
    wrong = browser.read(
        predictions,
        same,
        lambda line: sorted(
            set(lexicon.mentions(line["prediction"])) - set(lexicon.mentions(line["answer"]))
        ),
    )
    chosen = browser.surest(wrong, count)
    cards = list(browser.cards(model, params.explain.method, chosen, here / "data" / "raw", objects))
    out = out or here / "plots" / "failures.html"
    total = sum(1 for _ in predictions.open(encoding="utf-8"))
    unit = explain_items.unit(cards[0].views[0]) if cards else "attention"
    heatmap_page.write(out, cards, browser.words(wrong, len(chosen), total, unit), params.explain.colormap)
    say(f"failures: {len(wrong)} of {total} answers on test, the {len(chosen)} surest in {out}")
    say(f"try: open {out}, or sightline explain PICTURE QUESTION for one of them")
