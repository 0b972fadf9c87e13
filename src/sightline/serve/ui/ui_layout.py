"""The web page over a running server: four tabs, each of them functions of its own module.

What the model does goes through the server's service, so the page and the API share one queue.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal, TypedDict

import gradio as gr

from sightline.core import typed_json
from sightline.data.image_workers import ImageWorkers
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.inference.bundle_settings import REBUILD
from sightline.inference.encoding import NO_ANSWERS, NO_SEARCH
from sightline.serve.api_error import ApiError
from sightline.serve.batch_model import Model
from sightline.serve.deploy.deployment import Limits
from sightline.serve.service import Service
from sightline.serve.ui import ask_tab, compare_tab, dashboard_tab, search_tab
from sightline.serve.ui.sessions import KeptPictures
from sightline.serve.ui.ui_images import DisplayedImage, Example, Thumbs, choose, examples
from sightline.serve.ui.ui_style import CARD_JS, CHIP_JS, PICK_JS, WORD_JS

HEAD = """<div class="sl-head"><h1><i class="eye"></i>Sightline</h1>
<p>Ask a small vision-language model about a picture, and see where it looked for every word it says.
{}</p></div>"""
HERE, THERE = "Everything happens on this machine.", "Your pictures go to this server alone; it saves none."
# Its address is relative to that of the page, whatever stands before that.
SIGN_OUT = """<form class="sl-signout" method="post" action="logout"><button>Sign out</button></form>"""
NO_EXAMPLES = "This model ships no example pictures (photographs belong to their owners): choose your own."
STATE_S = 3600  # a chosen picture is forgotten after an hour without use
CHIPS = 6
FIRST = "first"  # the name of the picture that the page displays when it is opened


class BundleConfig(typed_json.Described):
    """What the page reads of a bundle's config.json: sentences on what the model was built without."""

    left_out: list[str] = []


def build(
    service: Callable[[], Service], model: Model, limits: Limits, bundle: Path, checkout: Path | None,
    login: bool,
) -> gr.Blocks:  # fmt: skip
    """The page. `service`: the server's, there once it runs; `checkout`: where the bundle was built, for what
    lies beside the model (pictures of search results, variants, figures), None where there is none; `login`:
    there is one before it."""
    shipped, thumbs, variants = examples(bundle), Thumbs(bundle, checkout), compare_tab.Variants(checkout)
    kept = KeptPictures(limits.session_bytes)
    with gr.Blocks(title="Sightline", analytics_enabled=False) as page:
        html(HEAD.format(THERE if login else HERE) + (SIGN_OUT if login else ""))
        if said := typed_json.read(bundle / "config.json", BundleConfig, REBUILD).left_out:
            html(ask_tab.message(f"Of this model: {'; '.join(said)}."))
        with gr.Tabs():
            with gr.Tab("Ask"):
                if model.session.answers:
                    _ask_tab(page, service, model, limits, shipped, kept)
                else:
                    html(ask_tab.message(NO_ANSWERS))
            with gr.Tab("Search"):
                if model.session.searches:
                    _search_tab(service, model, limits, shipped, thumbs)
                else:
                    html(ask_tab.message(NO_SEARCH))
            with gr.Tab("Compare"):
                if model.session.answers and model.session.searches:
                    _compare_tab(service, limits, shipped, variants, kept)
                else:
                    html(ask_tab.message(NO_SEARCH if model.session.answers else NO_ANSWERS))
            with gr.Tab("Dashboard"):
                drawn = html(ask_tab.message("Reading the pipeline's files."))
        page.load(lambda: dashboard_tab.draw(checkout), None, drawn, **HIDDEN_EVENT)
    page.queue(max_size=limits.queue, default_concurrency_limit=limits.batch)
    return page


class _EventOptions(TypedDict):
    show_progress: Literal["hidden"]
    api_visibility: Literal["private"]


# No progress overlay: the panels report their own progress. No entry in Gradio's API.
HIDDEN_EVENT: _EventOptions = {"show_progress": "hidden", "api_visibility": "private"}


def html(value: str, **more: Any) -> gr.HTML:
    """HTML of the page, without Gradio's style for texts."""
    return gr.HTML(value, apply_default_css=False, **more)


def picker(shipped: list[Example], limits: Limits) -> gr.HTML:
    """Example pictures and an upload field; fires `select` with an index, `upload` with a data URL."""
    script = PICK_JS.replace("MOST_BYTES", str(limits.picture_bytes))
    return html(ask_tab.PARTS.pick(shipped), js_on_load=script)


def _event_data(event: gr.EventData) -> dict[str, Any]:
    """What the browser sent with an event; whatever it is, a mapping."""
    return event._data if isinstance(event._data, dict) else {}


async def take(
    service: Service, url: str | None, error: str | None, view: str | None = None
) -> tuple[DisplayedImage | None, str]:
    """(the chosen picture, a message where it is refused). `error`: what the browser says; `view`: what is
    displayed in place of the picture."""
    if error or not isinstance(url, str):
        return None, ask_tab.message(error or "No picture came.", "bad")
    try:
        session, workers = service.model.session, service.image_workers
        return await service.aside(
            ask_tab.deadline(service), choose, url, session, service.limits, workers, view
        ), ask_tab.NOTHING
    except ApiError as refused:
        return None, ask_tab.message(f"{refused.message[:1].upper()}{refused.message[1:]}.", "bad")


def chips(questions: list[str]) -> str:
    return ask_tab.PARTS.chips(questions)


def suggestions(shipped: list[Example], index: int | None = None) -> list[str]:
    """The questions of one example, or a few of all that are safe to ask of any picture."""
    if index is not None:
        return list(shipped[index].questions)
    texts = dict.fromkeys([DESCRIBE, *(text for example in shipped for text in example.questions)])
    return list(texts)[:CHIPS]


def _wire_picker(
    picks: gr.HTML,
    service: Callable[[], Service],
    shipped: list[Example],
    kept: KeptPictures,
    changed: list[gr.components.Component],
) -> None:
    """A picked picture changes the state `displayed`, the view, the note and the suggested questions."""

    def name(displayed: DisplayedImage | None) -> str | None:
        return None if displayed is None else kept.put(displayed)

    async def on_upload(event: gr.EventData) -> tuple:
        displayed, note = await take(
            service(), _event_data(event).get("picture"), _event_data(event).get("error")
        )
        return name(displayed), ask_tab.view(displayed), note, chips(suggestions(shipped))

    async def on_select(event: gr.EventData) -> tuple:
        index = _event_data(event).get("index")
        if not isinstance(index, int) or not 0 <= index < len(shipped):
            return (
                None,
                ask_tab.view(None),
                ask_tab.message("No such example.", "bad"),
                chips(suggestions(shipped)),
            )
        displayed, note = await take(service(), shipped[index].url, None, shipped[index].view)
        return name(displayed), ask_tab.view(displayed), note, chips(suggestions(shipped, index))

    picks.upload(on_upload, None, changed, **HIDDEN_EVENT)
    picks.select(on_select, None, changed, **HIDDEN_EVENT)


def _first(shipped: list[Example], model: Model, limits: Limits) -> DisplayedImage | None:
    if not shipped:
        return None
    with ImageWorkers() as workers:
        return choose(shipped[0].url, model.session, limits, workers, shipped[0].view)


def _ask_tab(
    page: gr.Blocks, service: Callable[[], Service], model: Model, limits: Limits, shipped: list[Example],
    kept: KeptPictures,
) -> None:  # fmt: skip
    begin = _first(shipped, model, limits)
    gate = model.session.settings.spin
    # The first picture is displayed by loading the page: a session that was forgotten has none, not that one.
    displayed = gr.State(None, time_to_live=STATE_S, delete_callback=kept.forget)
    page.load(lambda: FIRST, None, displayed, **HIDDEN_EVENT)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            view = html(ask_tab.view(begin), elem_id="sl-view")
            picks = picker(shipped, limits)
            note = html(ask_tab.NOTHING if shipped else ask_tab.message(NO_EXAMPLES))
        with gr.Column(scale=7, min_width=300):
            question = gr.Textbox(
                label="Question", placeholder="What do you want to know about the picture?", lines=1,
                max_length=ask_tab.MAX_QUESTION, value=DESCRIBE,
            )  # fmt: skip
            suggested = html(chips(suggestions(shipped, 0 if shipped else None)), js_on_load=CHIP_JS)
            go = gr.Button("Ask", variant="primary")
            both = gr.Checkbox(
                label="Also with SPIN, side by side",
                info="SPIN damps the attention heads that look least at the picture.",
            )
            with gr.Row(visible=False) as sliders:
                keep = gr.Slider(
                    0.1,
                    1.0,
                    gate.keep or 0.5,
                    step=0.05,
                    label="keep",
                    info="share of heads left alone",
                    min_width=220,
                )
                alpha = gr.Slider(
                    0.0, 1.0, gate.alpha if gate.alpha < 1 else 0.5, step=0.05, label="alpha",
                    info="what is left of the others", min_width=220,
                )  # fmt: skip
            with gr.Row():
                with gr.Column(min_width=240):
                    left = html(ask_tab.NOTHING, js_on_load=WORD_JS)
                with gr.Column(min_width=240, visible=False) as second_column:
                    right = html(ask_tab.NOTHING, js_on_load=WORD_JS)
    _wire_picker(picks, service, shipped, kept, [displayed, view, note, suggested])

    async def on_ask(name, question, both, keep, alpha) -> AsyncIterator[tuple[str, str]]:
        displayed = begin if name == FIRST else kept.get(name)
        async for panels in ask_tab.answer(service(), displayed, question, both, keep, alpha):
            yield panels

    def on_both(both: bool) -> tuple:
        return gr.update(visible=both), gr.update(visible=both), ask_tab.NOTHING

    def on_chip(event: gr.EventData) -> str:
        return str(_event_data(event).get("text", ""))[: ask_tab.MAX_QUESTION]

    inputs, outputs = [displayed, question, both, keep, alpha], [left, right]
    gr.on([go.click, question.submit], on_ask, inputs, outputs, trigger_mode="once", **HIDDEN_EVENT)
    suggested.select(on_chip, None, question, **HIDDEN_EVENT).then(on_ask, inputs, outputs, **HIDDEN_EVENT)
    both.change(on_both, both, [sliders, second_column, right], **HIDDEN_EVENT)


def _search_tab(
    service: Callable[[], Service], model: Model, limits: Limits, shipped: list[Example], thumbs: Thumbs
) -> None:
    with gr.Row():
        with gr.Column(scale=6, min_width=300):
            query = gr.Textbox(label="Words", placeholder="a red ball beside a house", max_length=300)
            go = gr.Button("Search", variant="primary")
        with gr.Column(scale=5, min_width=300):
            html('<div class="sl-kicker">or by picture</div>')
            picks = picker(shipped, limits)
    results = html(search_tab.start(model, thumbs), js_on_load=CARD_JS)

    async def on_words(text: str) -> str:
        return await search_tab.by_words(service(), thumbs, text)

    async def on_picture(url: str | None, error: str | None) -> str:
        displayed, note = await take(service(), url, error)
        return note if displayed is None else await search_tab.by_picture(service(), thumbs, displayed)

    async def on_upload(event: gr.EventData) -> str:
        return await on_picture(_event_data(event).get("picture"), _event_data(event).get("error"))

    async def on_select(event: gr.EventData) -> str:
        index = _event_data(event).get("index")
        if not isinstance(index, int) or not 0 <= index < len(shipped):
            return await on_picture(None, None)
        return await on_picture(shipped[index].url, None)

    async def on_like(event: gr.EventData) -> str:
        return await search_tab.like(service(), thumbs, str(_event_data(event).get("id", "")))

    gr.on([go.click, query.submit], on_words, query, results, **HIDDEN_EVENT)
    picks.upload(on_upload, None, results, **HIDDEN_EVENT)
    picks.select(on_select, None, results, **HIDDEN_EVENT)
    results.select(on_like, None, results, **HIDDEN_EVENT)


def _compare_tab(
    service: Callable[[], Service], limits: Limits, shipped: list[Example], variants: compare_tab.Variants,
    kept: KeptPictures,
) -> None:  # fmt: skip
    if not variants.there:
        html(compare_tab.empty())
        return
    displayed = gr.State(None, time_to_live=STATE_S, delete_callback=kept.forget)
    with gr.Row():
        with gr.Column(scale=4, min_width=260):
            view = html(ask_tab.view(None))
        with gr.Column(scale=8, min_width=300):
            picks = picker(shipped, limits)
            note = html(ask_tab.NOTHING)
            question = gr.Textbox(label="Question", value=DESCRIBE, max_length=ask_tab.MAX_QUESTION)
            suggested = html(chips(suggestions(shipped)), js_on_load=CHIP_JS)
            go = gr.Button("Ask all variants", variant="primary")
    table = html(ask_tab.message("Choose a picture and a question; every variant answers, and is timed."))
    _wire_picker(picks, service, shipped, kept, [displayed, view, note, suggested])

    async def on_compare(name: str | None, question: str) -> AsyncIterator[str]:
        yield ask_tab.waiting("Asking all variants")
        yield await compare_tab.table(service(), variants, kept.get(name), question)

    gr.on([go.click, question.submit], on_compare, [displayed, question], table, **HIDDEN_EVENT)

    def on_chip(event: gr.EventData) -> str:
        return str(_event_data(event).get("text", ""))[: ask_tab.MAX_QUESTION]

    suggested.select(on_chip, None, question, **HIDDEN_EVENT)
