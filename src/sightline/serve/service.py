"""Between the routes and the model: turns requests into rows of a batch and results into responses.

All of it runs on the event loop except drawing maps, which has a few threads of its own, the model, which has
one (`batcher.Worker`), and decoding pictures, which has processes of its own (`data.image_workers`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sightline.core.params.generation import SPIN_OFF
from sightline.data import images
from sightline.data.image_workers import ImageWorkers
from sightline.data.tokenizer import REPLACEMENT
from sightline.explain import heatmap, target
from sightline.inference.answering import Answer
from sightline.inference.encoding import NO_SEARCH
from sightline.search import reranking
from sightline.search.item_index import ItemIndex
from sightline.search.vector_index import SearchIndexError
from sightline.serve import image_input, request_settings
from sightline.serve.api_error import ApiError
from sightline.serve.batch_model import Model, Query, Question, Reply, Results, as_they_are
from sightline.serve.batcher import Emit, Ticket, Worker
from sightline.serve.deploy.deployment import Deployment
from sightline.serve.image_input import Picture
from sightline.serve.prometheus import Metrics
from sightline.serve.request_settings import Options
from sightline.serve.safety.screen import ALLOWED, Screen, Verdict

ALONE = "alone"  # a ticket that shares no batch
MAP_SIDE = 224  # longest side of a map drawn as a picture


@dataclass(frozen=True)
class Request:
    """A question about a picture, or about the one that is to be read from a data URL. `safety`: what the
    policy says about the question; one that it refuses is not put to the model, and its picture not read."""

    question: Question
    image: Picture | str
    safety: Verdict = ALLOWED


class Service:
    """The model calls of the routes and the page."""

    def __init__(self, model: Model, deployment: Deployment, metrics: Metrics) -> None:
        self.model, self.limits, self.metrics = model, deployment.limits, metrics
        self._fetch, workers = deployment.fetch, deployment.workers
        self.screen = Screen(deployment.safety) if deployment.safety else None
        self._explained = target.ExplainedModel(model.session, SPIN_OFF)  # of answers that were given
        self.image_workers = ImageWorkers(workers.decoders)
        self.worker = Worker(self._run, model.batch, self.limits.fill_s, workers.decoders)
        self._aside = ThreadPoolExecutor(workers.helpers, "aside")
        # Waiting for other hosts must not hold up others.
        self._fetchers = ThreadPoolExecutor(workers.fetchers, "fetch")

    def close(self) -> None:
        self.image_workers.close()  # first, so that nothing below waits for a picture
        self.worker.close()
        self._aside.shutdown()
        self._fetchers.shutdown(wait=False, cancel_futures=True)

    async def aside(self, deadline: float, call: Callable, *values: Any, slow: bool = False) -> Any:
        """`call(*values)` in a thread. Raises ApiError 504 past the deadline."""
        pool = self._fetchers if slow else self._aside
        return await self._until(deadline, asyncio.get_running_loop().run_in_executor(pool, call, *values))

    def _read(self, url: str) -> Picture:
        pixels = self.model.session.pixels
        return image_input.read(url, pixels, self.limits, self._fetch, self.image_workers)

    async def request(self, url: str, text: str, options: Options, deadline: float) -> Request:
        """Raises ApiError for settings that the model cannot use, and for what cannot be fetched; a picture
        in the address itself is read, and refused, when the question is asked."""
        if options.retrieval:
            self.require_search()
        question = request_settings.question(self.model.session, text, options)
        safety = ALLOWED if self.screen is None else await self.aside(deadline, self.screen.question, text)
        if image_input.is_picture(url) or safety.refused:
            return Request(question, url, safety)
        return Request(question, await self.aside(deadline, self._read, url, slow=True), safety)

    async def judged_search(self, text: str, deadline: float) -> Verdict:
        """What the policy says about a text that is searched with."""
        return ALLOWED if self.screen is None else await self.aside(deadline, self.screen.search, text)

    def given(self, request: Request, reply: Reply, evidence: dict[str, Any]) -> tuple[str | None, Verdict]:
        """(the answer that may be given, None where it is refused; what the policy did to it). Takes the
        words' maps out of `evidence`, the field `sightline`, where the answer is not given as it was."""
        if self.screen is None:
            return reply.answer.text, ALLOWED
        text, verdict = self.screen.answer(reply.answer.text, evidence)
        verdict = request.safety.plus(verdict, reply.hidden)
        if verdict.refused or text != reply.answer.text:
            evidence.pop("explanation", None)
        return None if verdict.refused else text, verdict

    def decided(self, *verdicts: Verdict) -> dict[str, Any]:
        """The field `safety` of a response, counted; nothing without a policy."""
        if self.screen is None:
            return {}
        verdict = ALLOWED.plus(*verdicts)
        self.metrics.decided(verdict.reasons)
        return {"safety": verdict.body()}

    async def reply(self, request: Request, deadline: float) -> Reply:
        """The model's reply. Raises ApiError 504 past the deadline."""
        return self._counted(request.question, await self._result(self._queued(request), deadline))

    async def stream(self, request: Request, deadline: float) -> AsyncIterator[str | Reply]:
        """The answer as it grows, each part a longer text (none where it is not written word by word), then
        the reply; closing it ends the work."""
        ticket = self._queued(request, stream=True)
        assert ticket.parts is not None
        try:
            while (ids := await self._until(deadline, ticket.parts.get())) is not None:
                yield self.model.session.tokenizer.decode(ids).rstrip(REPLACEMENT)  # half a character
            yield self._counted(request.question, await self._result(ticket, deadline))
        finally:
            ticket.dropped = True

    def _queued(self, request: Request, stream: bool = False) -> Ticket:
        question, image = request.question, request.image
        key = ("ask", question.batch_key)
        if isinstance(image, Picture):
            return self.worker.put(Ticket(key, Query(question, image), stream=stream))
        return self.worker.put(Ticket(key, prepare=lambda: Query(question, self._read(image)), stream=stream))

    async def embed_pictures(self, urls: Sequence[str], deadline: float) -> list[tuple[np.ndarray, float]]:
        """(unit embedding [E], domain score) of every picture. ApiError 404 of a model that only answers."""
        self.require_search()
        near = [url for url in urls if image_input.is_picture(url)]
        far = {url: await self.aside(deadline, self._read, url, slow=True) for url in urls if url not in near}
        tickets = [
            Ticket("pictures", far[url].pixels_CYX) if url in far
            else Ticket("pictures", prepare=partial(lambda url: self._read(url).pixels_CYX, url))
            for url in urls
        ]  # fmt: skip
        return self._embedded(await self._all(tickets, deadline))

    async def embed_pixels(
        self, pixels: Sequence[np.ndarray], deadline: float
    ) -> list[tuple[np.ndarray, float]]:
        """The same of pictures that are ready for the model, [C, Y, X] each."""
        self.require_search()
        return self._embedded(await self._all([Ticket("pictures", row) for row in pixels], deadline))

    def _embedded(self, rows: Sequence[tuple]) -> list[tuple[np.ndarray, float]]:
        for _, pooled_D, score in rows:
            self.metrics.picture(pooled_D, score)
        return [(embed_E, score) for embed_E, _, score in rows]

    async def alone(self, call: Callable[[], Any], deadline: float) -> Any:
        """`call()` on the model's thread when its turn comes, so that no model call runs at the same time."""
        return (await self._all([Ticket((ALONE, object()), call)], deadline))[0]

    async def count_tokens(self, texts: Sequence[str], deadline: float) -> int:
        """Tokens of the texts as far as the model reads them."""
        session = self.model.session
        limit = session.settings.max_text
        return await self.aside(
            deadline, lambda: sum(len(session.text_tokenizer.encode(t, limit)) for t in texts)
        )

    async def embed_texts(self, texts: Sequence[str], deadline: float) -> list[np.ndarray]:
        """Unit embedding [E] of every text. ApiError 404 of a model that only answers."""
        self.require_search()
        return await self._all([Ticket("texts", text) for text in texts], deadline)

    async def search(
        self, embed_E: np.ndarray, k: int, kind: str, deadline: float
    ) -> tuple[list[dict[str, Any]], Verdict]:
        """(the `k` nearest items of the index as it is now, what the policy did to them)."""

        def nearest() -> tuple[list[Any], Verdict]:
            return self._shown(self.item_index().search(embed_E[None], k, kind)[0])

        hits, safety = await self.aside(deadline, nearest)
        return _hits(hits), safety

    async def search_reranked(
        self, text: str, embed_E: np.ndarray, k: int, count: int, deadline: float
    ) -> tuple[list[dict[str, Any]], Verdict]:
        """The same for words, by re-ranking the `count` nearest pictures on the model's thread. ApiError 404
        where the model or the index has not what that needs."""
        session, item_index = self.model.session, await self.aside(deadline, self.item_index)
        try:
            reranking.check(session, item_index)
        except SearchIndexError as error:
            raise ApiError(404, str(error), "no_reranking", "rerank") from error
        hits = await self.alone(
            lambda: reranking.search(session, item_index, text, embed_E, k, count), deadline
        )
        shown, safety = await self.aside(deadline, self._shown, hits)
        return _hits(shown), safety

    async def similar(
        self, name: str, k: int, kind: str, deadline: float
    ) -> tuple[list[dict[str, Any]], Verdict]:
        """The same of neighbours of an item by its own vector, the item left out. ApiError 404 for an unknown
        one."""

        def nearest() -> tuple[list[Any], Verdict]:
            item_index = self.item_index()
            number = item_index.find(name)
            embed_E = None if number is None else item_index.vector(number, kind)
            if embed_E is None:
                raise ApiError(404, f"the index holds no {kind} vector of this id", "unknown_item", "id")
            hits = item_index.search(embed_E[None], k + 1, kind)[0]
            return self._shown([hit for hit in hits if hit.id != name][:k])

        hits, safety = await self.aside(deadline, nearest)
        return _hits(hits), safety

    async def thumbnail(self, name: str, deadline: float) -> bytes:
        """The small JPEG of an item. ApiError 404 where the index holds none."""

        def read() -> bytes | None:
            item_index = self.item_index()
            number = item_index.find(name)
            return None if number is None else item_index.thumbnail(number)

        data = await self.aside(deadline, read)
        if data is None:
            raise ApiError(404, "the index holds no picture of this id", "unknown_item", "id")
        return data

    async def evidence(
        self, question: Question, reply: Reply, deadline: float, maps: bool | str = False
    ) -> dict[str, Any]:
        """The field `sightline` of an answer."""
        answer = reply.answer
        evidence = {
            "decoding": answer.decoding,
            "confidence": round(answer.confidence, 4),
            "sure": self._sure(reply),
            **self.ood_verdict(reply.domain_score),
            "question_out_of_domain": self.model.session.question_is_unlike(question.text),
            "silenced_heads": round(_silenced(answer), 4),
        }
        if maps:
            evidence["explanation"] = await self.aside(deadline, self._words, question, reply, maps == "png")
        if question.retrieval:
            evidence["retrieved"] = _hits(reply.retrieved)
        return evidence

    def ood_verdict(self, score: float | None) -> dict[str, Any]:
        """None of both where the model has no pictures to compare with."""
        if score is None or self.model.ood_detector is None:
            return {"out_of_domain": None, "domain_score": None}
        return {"out_of_domain": score > self.model.ood_detector.bound, "domain_score": round(score, 2)}

    def item_index(self) -> ItemIndex:
        """The items as they are now. ApiError 404 of a model that only answers."""
        self.require_search()
        assert self.model.index is not None  # a model that searches has one
        return self.model.index.item_index()

    def require_search(self) -> None:
        """ApiError 404 of a model that only answers."""
        if not self.model.session.searches:
            raise ApiError(404, NO_SEARCH, "no_search")

    def _words(self, question: Question, reply: Reply, png: bool) -> list[dict[str, Any]]:
        height, width = reply.height, reply.width
        scale = min(1.0, MAP_SIDE / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        shape = np.broadcast_to(np.uint8(0), (*size, 3))  # attention needs no pixels, a map their number
        case = target.of_answer(self._explained, shape, question.text, reply.answer)
        explanation = target.explain_answer(self._explained, "cross_attention", case)
        rows, cols = self._explained.grid
        return [
            {
                "word": heat.provenance["word"],
                "image_share": round(heat.provenance["image_share"], 4),
                # As a picture, or as cells of the part that the model saw, where its patches look.
                "map": _png(heat.pixel_map)
                if png
                else np.round(heatmap.resize(heat.pixel_map[heat.seen.slices], rows, cols), 4).tolist(),
                "question": [[word, round(share, 4)] for word, share in heat.text_scores],
            }
            for heat in explanation.words
        ]

    def _sure(self, reply: Reply) -> bool | None:
        """Whether the answer is sure: confidences are of pictures as in training."""
        return False if self.ood_verdict(reply.domain_score)["out_of_domain"] else reply.answer.sure

    @property
    def _shown(self) -> Results:
        return as_they_are if self.screen is None else self.screen.results

    def _counted(self, question: Question, reply: Reply) -> Reply:
        if reply.pooled_D is not None and reply.domain_score is not None:
            self.metrics.picture(reply.pooled_D, reply.domain_score)
        if detector := self.model.session.question_detector:
            self.metrics.question(detector.score(question.text))
        self.metrics.answer(reply.answer, self._sure(reply))
        if reply.answer.gates_LHT is not None:
            self.metrics.gated(_silenced(reply.answer))
        return reply

    async def _all(self, tickets: Sequence[Ticket], deadline: float) -> list[Any]:
        try:
            for ticket in tickets:
                self.worker.put(ticket)
            return [await self._result(ticket, deadline) for ticket in tickets]
        finally:
            for ticket in tickets:
                ticket.dropped = True

    async def _result(self, ticket: Ticket, deadline: float) -> Any:
        """The result of a ticket in the queue. A timer that fails it costs a third of asyncio.timeout."""
        timer = ticket.loop.call_later(max(deadline - time.monotonic(), 0.0), self._expire, ticket)
        try:
            return await ticket.done
        finally:
            timer.cancel()
            ticket.dropped = True

    def _expire(self, ticket: Ticket) -> None:
        if not ticket.done.done():
            ticket.done.set_exception(self._late())

    def _late(self) -> ApiError:
        limit = self.limits.timeout_s
        return ApiError(504, f"no answer within {limit:g} s; try again", "timeout", retry_s=1)

    async def _until(self, deadline: float, waited: Any) -> Any:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await waited
        except TimeoutError as error:
            raise self._late() from error

    def _run(self, batch: Sequence[Ticket], emit: Emit) -> list[Any]:
        """On the model's thread: one batch of tickets of one key."""
        key, rows = batch[0].key, [ticket.row for ticket in batch]
        if key == "texts":
            return self.model.texts(rows)
        if key == "pictures":
            return self.model.pictures(rows)
        if isinstance(key, tuple) and key[0] == ALONE:
            return [call() for call in rows]
        return self.model.answer(
            rows, lambda row, ids: emit(batch[row], list(ids)), lambda row: batch[row].dropped, self._shown
        )


def _silenced(answer: Answer) -> float:
    return 0.0 if answer.gates_LHT is None else float((answer.gates_LHT < 1).mean())


def _hits(hits: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"id": hit.id, "score": round(hit.score, 4), "text": hit.text, "from": hit.source} for hit in hits
    ]


def _png(map_YX: np.ndarray) -> str:
    grey_YX3 = np.repeat(np.round(255 * map_YX).astype(np.uint8)[..., None], 3, axis=2)
    return images.data_url(images.encode(grey_YX3)[0], "png")
