"""The tab *Compare*: one question put to every exported variant of the model."""

import threading
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.inference.answering import Answer
from sightline.inference.session import Session
from sightline.serve.api_error import ApiError
from sightline.serve.batch_model import Model, Query, Reply
from sightline.serve.safety.screen import REFUSED_QUESTION, Verdict
from sightline.serve.service import Request, Service
from sightline.serve.ui.ask_tab import NO_PICTURE, PARTS, build_request, deadline, decided, message, refused
from sightline.serve.ui.ui_images import DisplayedImage

TIMES = 3  # runs after one to warm up; the median is reported
DESCRIPTIONS = {
    "fp32": "as trained",
    "pruned": "heads and hidden units cut",
    "int8": "weights in 8 bits",
    "pruned_int8": "cut, then 8 bits",
    "int4": "weights in 4 bits",
}


@dataclass(frozen=True)
class Row:
    """The result of one variant. `bytes`: of all its graphs; `milliseconds`: all that the server does for one
    answer, from the picture's pixels to the last word, at batch size 1."""

    variant: str
    reply: Reply
    bytes: int
    milliseconds: float

    @property
    def answer(self) -> Answer:
        return self.reply.answer


class Variants:
    """The variants in a checkout's models/onnx, loaded when first asked."""

    def __init__(self, checkout: Path | None) -> None:
        self.folder = checkout / "models" / "onnx" if checkout else None
        self._lock = threading.Lock()

    @property
    def there(self) -> bool:
        return self.folder is not None and (self.folder / "config.json").is_file()

    @cached_property
    def _sessions(self) -> dict[str, Session]:
        folder = self.folder
        assert folder is not None  # the caller has asked `there`
        names = artifacts.load(folder, "onnx").config["variants"]
        names = sorted(names, key=lambda name: [*DESCRIPTIONS, name].index(name))
        return {name: Session.load_variant(folder, name) for name in names}

    def load(self) -> None:
        """Read and verify all variants, once. ValueError for a damaged one."""
        with self._lock:
            _ = self._sessions

    def run(self, served: Model, query: Query) -> list[Row]:
        """Ask every variant, one after the other, as `served` would be asked alone."""
        rows = []
        assert self.folder is not None  # its sessions are loaded
        for name, session in self._sessions.items():
            model = Model(session, served.ood_detector, served.index, 1)
            took: list[float] = []
            for _ in range(TIMES + 1):
                begun = time.perf_counter()
                reply = model.answer([query], lambda row, ids: None, lambda row: False)[0]
                took.append(1000 * (time.perf_counter() - begun))
            size = sum(file.stat().st_size for file in (self.folder / name).glob("*.onnx"))
            rows.append(Row(name, reply, size, float(np.median(took[1:]))))
        return rows


async def table(service: Service, variants: Variants, displayed: DisplayedImage | None, question: str) -> str:
    """The answers of all variants side by side, or why there are none."""
    if not variants.there:
        return empty()
    if displayed is None:
        return message(NO_PICTURE, "bad")
    if not question.strip():
        return message("Type a question to put to all variants.", "bad")
    until = deadline(service)
    try:
        await service.aside(until, variants.load)
        request = build_request(service, displayed, question, None)
        if request.safety.refused:
            return refused(REFUSED_QUESTION, service.decided(request.safety))
        query = Query(request.question, displayed.picture)
        rows = await service.alone(lambda: variants.run(service.model, query), until)
        shown = [await _as_given(service, request, row, until) for row in rows]
    except ApiError as error:
        return message(f"No comparison: {error.message}.", "bad")
    except ValueError as error:
        return message(f"The variants cannot be read: {error}", "bad")
    above = decided(service.decided(*(verdict for _, verdict in shown)))
    return above + PARTS.variants([row for row, _ in shown], DESCRIPTIONS)


async def _as_given(service: Service, request: Request, row: Row, until: float) -> tuple[Row, Verdict]:
    """A row with the text that may be shown, and what the policy did to it."""
    text, verdict = service.given(
        request, row.reply, await service.evidence(request.question, row.reply, until)
    )
    answer = replace(row.answer, text="(refused)" if text is None else text)
    return replace(row, reply=replace(row.reply, answer=answer)), verdict


def empty() -> str:
    return message(
        "The variants are not here: they lie in models/onnx of the checkout that built the model. "
        "Run `dvc repro` there, then `sightline serve` from inside it."
    )
