"""The tab *Ask*: an answer as it is written, then its words with the maps behind them."""

import time
from collections.abc import AsyncIterator
from html import escape
from typing import Any

import numpy as np

from sightline.explain.heatmap_figures import GLUE
from sightline.serve import request_settings
from sightline.serve.api_schema import Spin
from sightline.serve.batch_model import Reply
from sightline.serve.limits import ApiError
from sightline.serve.request_settings import Options
from sightline.serve.service import Request, Service
from sightline.serve.ui.ui_images import Shown, glow

MAX_QUESTION = 500  # characters; the model reads some twenty words of it
NOTHING = '<i class="sl-nothing"></i>'  # a part that has nothing to say takes no room
NO_PICTURE = "Choose a picture first: one of the examples, or one of your own."
UNLIKE = (
    "This picture looks unlike the pictures the model was trained on. Whatever it says about it, "
    "do not trust the answer."
)


def message(text: str, kind: str = "note") -> str:
    """A line for people: `note`, or `bad` where something went wrong."""
    return f'<div class="sl-msg {kind}" role="status">{escape(text)}</div>'


def view(shown: Shown | None) -> str:
    """The chosen picture, with room for a map over it."""
    if shown is None:
        return '<div class="sl-stage empty"><p>No picture yet</p></div>'
    small = " small" if shown.small else ""
    return (
        f'<div class="sl-stage"><img class="base{small}" src="{shown.view}" alt="the picture asked about">'
        f'<img class="heat" style="{shown.seen}" alt=""></div>'
    )


def deadline(service: Service) -> float:
    return time.monotonic() + service.limits.timeout_s


def put(service: Service, shown: Shown, question: str, spin: bool | Spin | None) -> Request:
    """The question as the API puts it where nobody streams, with maps. Raises ApiError for unusable knobs."""
    options = Options(spin=spin, maps=True)
    text = question.strip()[:MAX_QUESTION]
    return Request(request_settings.question(service.model.session, text, options), shown.picture)


def gated(service: Service, keep: float, alpha: float) -> Spin:
    """SPIN in the bundle's layers, or in all where the bundle names none."""
    session = service.model.session
    layers = session.settings.spin.layers or range(session.engine.config["layers"])
    return Spin(keep=keep, alpha=alpha, layers=list(layers))


async def answer(
    service: Service, shown: Shown | None, question: str, both: bool, keep: float, alpha: float
) -> AsyncIterator[tuple[str, str]]:
    """(left panel, right panel) as they grow: the bundle's answer, or, where `both`, SPIN off and on."""
    if shown is None:
        yield message(NO_PICTURE, "bad"), NOTHING
        return
    if not question.strip():
        yield message("Type a question, or pick one of the suggestions.", "bad"), NOTHING
        return
    left = ""
    spin, title = (False, "SPIN off") if both else (None, "Answer")
    async for left in _panel(service, shown, question, spin, title):
        yield left, waiting("SPIN on") if both else NOTHING
    if both:
        title = f"SPIN on, keep {keep:g}, alpha {alpha:g}"
        async for right in _panel(service, shown, question, gated(service, keep, alpha), title):
            yield left, right


def waiting(title: str, text: str = "") -> str:
    said = escape(text) + '<i class="sl-caret"></i>'
    kicker = f'<div class="sl-kicker">{escape(title)}</div>'
    return f'<div class="sl-answer">{kicker}<p class="sl-live">{said}</p></div>'


async def _panel(
    service: Service, shown: Shown, question: str, spin: bool | Spin | None, title: str
) -> AsyncIterator[str]:
    """One panel: the text word by word, then words with maps, confidence and warnings."""
    until = deadline(service)
    yield waiting(title)
    try:
        request = put(service, shown, question, spin)
        async for part in service.stream(request, until):
            if isinstance(part, Reply):
                evidence = await service.evidence(request.question, part, until, maps=True)
                yield told(evidence, part.answer.text, title)
            else:
                yield waiting(title, part)
    except ApiError as error:
        yield message(f"No answer: {error.message}.", "bad")


def told(evidence: dict[str, Any], text: str, title: str) -> str:
    """A finished answer. `evidence`: the field `sightline` of the API's answers."""
    words = evidence["explanation"]
    maps = [np.array(word["map"]) for word in words]
    first = max(range(len(words)), key=lambda place: _interest(words[place], maps[place]), default=0)
    buttons = "".join(
        _word(word, patch_map, place == first)
        for place, (word, patch_map) in enumerate(zip(words, maps, strict=True))
    )
    spans = " ".join(f"<span>{escape(word)}</span>" for word, _ in (words[0]["question"] if words else ()))
    read = f"Of the question it read <q>{spans}</q>" if spans else ""
    read = f'<p class="sl-read">{read} <em class="share"></em></p>' if words else ""
    hint = '<p class="sl-hint">Click a word to see where the model looked.</p>' if words else ""
    silenced = evidence["silenced_heads"]
    heads = f'<p class="sl-facts">{100 * silenced:.0f} % of the heads were damped.</p>' if silenced else ""
    return f"""<div class="sl-answer"><div class="sl-kicker">{escape(title)}</div>
<div class="sl-words">{buttons or escape(text) or "(the model gave no answer)"}</div>{hint}
{trust(evidence)}{read}{heads}</div>"""


def trust(evidence: dict[str, Any]) -> str:
    """How far to believe: a bar, `sure` or not, and the warning about strange pictures."""
    share = 100 * evidence["confidence"]
    kind, word = {True: ("good", "sure"), False: ("bad", "not sure"), None: ("", "")}[evidence["sure"]]
    badge = f'<b class="sl-badge {kind}">{word}</b>' if word else ""
    warning = f'<div class="sl-msg warn" role="alert">{UNLIKE}</div>' if evidence["out_of_domain"] else ""
    return f"""{warning}<div class="sl-trust"><span>Confidence</span><i class="sl-meter {kind}">
<i style="width:{share:.0f}%"></i></i><b>{share:.0f} %</b>{badge}</div>"""


def _word(word: dict[str, Any], patch_map: np.ndarray, first: bool) -> str:
    scores = " ".join(f"{share:.3f}" for _, share in word["question"])
    share = f"{100 * word['image_share']:.0f} % of the look behind “{word['word']}” fell on the picture."
    gap = " " if word["word"][:1].isalnum() else ""  # a comma stays with the word before it
    return (
        f'{gap}<button type="button"{" data-first" if first else ""} data-map="{glow(patch_map)}" '
        f'data-scores="{scores}" data-share="{escape(share)}">{escape(word["word"])}</button>'
    )


def _interest(word: dict[str, Any], patch_map: np.ndarray) -> float:
    """What a reader wants to see first: a word read from the picture, and from one place of it."""
    content = len(word["word"]) > 2 and word["word"] not in GLUE
    return (content + 1e-3) * word["image_share"] * (1.0 - float(patch_map.mean()))
