"""The tab *Ask*: an answer as it is written, then its words with the maps behind them."""

import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from sightline.core import templates
from sightline.explain.heatmap_figures import GLUE
from sightline.serve import request_settings
from sightline.serve.api_error import ApiError
from sightline.serve.api_schema import Spin
from sightline.serve.batch_model import Reply
from sightline.serve.request_settings import Options
from sightline.serve.safety.screen import ALLOWED, REFUSED_ANSWER, REFUSED_QUESTION
from sightline.serve.service import Request, Service
from sightline.serve.ui.ui_images import DisplayedImage, glow

PARTS = templates.macros("sightline.serve", "ui.html")
MAX_QUESTION = 500  # characters; the model reads some twenty words of it
NOTHING = '<i class="sl-nothing"></i>'  # an empty part takes no space
NO_PICTURE = "Choose a picture first: one of the examples, or one of your own."
UNLIKE = (
    "This picture looks unlike the pictures the model was trained on. Whatever it says about it, "
    "do not trust the answer."
)
UNLIKE_QUESTION = "This question reads unlike those the model was trained on: do not trust the answer."
WARNINGS = {"out_of_domain": UNLIKE, "question_out_of_domain": UNLIKE_QUESTION}  # by field of the evidence


def message(text: str, kind: str = "note") -> str:
    """A line for people: `note`, or `bad` where something went wrong."""
    return PARTS.message(text, kind)


def view(displayed: DisplayedImage | None) -> str:
    """The chosen picture, with room for a map over it."""
    return PARTS.view(displayed)


def deadline(service: Service) -> float:
    return time.monotonic() + service.limits.timeout_s


def build_request(
    service: Service, displayed: DisplayedImage, question: str, spin: bool | Spin | None
) -> Request:
    """The question as the API asks it without a stream, with maps. Raises ApiError for unusable settings."""
    options = Options(spin=spin, maps=True)
    text = question.strip()[:MAX_QUESTION]
    safety = ALLOWED if service.screen is None else service.screen.question(text)
    return Request(request_settings.question(service.model.session, text, options), displayed.picture, safety)


def gated(service: Service, keep: float, alpha: float) -> Spin:
    """SPIN in the bundle's layers, or in all where the bundle names none."""
    session = service.model.session
    layers = session.settings.spin.layers or range(session.engine.config["layers"])
    return Spin(keep=keep, alpha=alpha, layers=list(layers))


async def answer(
    service: Service, displayed: DisplayedImage | None, question: str, both: bool, keep: float, alpha: float
) -> AsyncIterator[tuple[str, str]]:
    """(left panel, right panel) as they grow: the bundle's answer, or, where `both`, SPIN off and on."""
    if displayed is None:
        yield message(NO_PICTURE, "bad"), NOTHING
        return
    if not question.strip():
        yield message("Type a question, or pick one of the suggestions.", "bad"), NOTHING
        return
    left = ""
    spin, title = (False, "SPIN off") if both else (None, "Answer")
    async for left in _panel(service, displayed, question, spin, title):
        yield left, waiting("SPIN on") if both else NOTHING
    if both:
        title = f"SPIN on, keep {keep:g}, alpha {alpha:g}"
        async for right in _panel(service, displayed, question, gated(service, keep, alpha), title):
            yield left, right


def waiting(title: str, text: str = "") -> str:
    return PARTS.waiting(title, text)


async def _panel(
    service: Service, displayed: DisplayedImage, question: str, spin: bool | Spin | None, title: str
) -> AsyncIterator[str]:
    """One panel: the text word by word, then words with maps, confidence and warnings."""
    until = deadline(service)
    yield waiting(title)
    try:
        request = build_request(service, displayed, question, spin)
        if request.safety.refused:
            yield refused(REFUSED_QUESTION, service.decided(request.safety))
            return
        whole = service.screen is not None and service.screen.holds_back
        async for part in service.stream(request, until):
            if isinstance(part, Reply):
                evidence = await service.evidence(request.question, part, until, maps=True)
                text, verdict = service.given(request, part, evidence)
                safety = service.decided(verdict)
                if text is None:
                    yield refused(REFUSED_ANSWER, safety)
                else:
                    yield decided(safety) + finished_answer(evidence, text, title)
            elif not whole:
                yield waiting(title, part)
    except ApiError as error:
        yield message(f"No answer: {error.message}.", "bad")


def refused(text: str, safety: dict[str, Any]) -> str:
    """What the policy refuses, with its reasons. `safety`: what `Service.decided` returned."""
    return message(f"{text} ({', '.join(safety['safety']['reasons'])})", "bad")


def decided(safety: dict[str, Any]) -> str:
    """What the policy marked or hid; nothing where it did neither."""
    verdict = safety.get("safety", ALLOWED.body())
    words = f"By this server's policy {verdict['decision']}: {', '.join(verdict['reasons'])}."
    return message(words, "warn") if verdict["reasons"] else ""


def finished_answer(evidence: dict[str, Any], text: str, title: str) -> str:
    """A finished answer. `evidence`: the field `sightline` of the API's answers."""
    words = evidence.get("explanation", [])  # none of an answer of which something is hidden
    maps = [np.array(word["map"]) for word in words]
    first = max(range(len(words)), key=lambda index: _interest(words[index], maps[index]), default=0)
    glows = [glow(patch_map) for patch_map in maps]
    return PARTS.answer(title, text, evidence | {"explanation": words}, WARNINGS, first, glows)


def trust(evidence: dict[str, Any]) -> str:
    """Confidence bar, `sure` or not, and the out-of-domain warnings."""
    return PARTS.trust(evidence, WARNINGS)


def _interest(word: dict[str, Any], patch_map: np.ndarray) -> float:
    """What a reader wants to see first: a word read from the picture, and from one region of it."""
    content = len(word["word"]) > 2 and word["word"] not in GLUE
    return (content + 1e-3) * word["image_share"] * (1.0 - float(patch_map.mean()))
