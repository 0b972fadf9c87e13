"""A model behind a chat endpoint of OpenAI's form: vLLM, Ollama, llama.cpp, Sightline's server, a hosted
model.

Asked for the likeliest words with their probabilities. An endpoint that refuses these fields (FORMS) is asked
without them. A cap on tokens or cost holds before a request is sent: those under way are counted as the
dearest so far.
"""

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError

from sightline.audit.answerer import Identity, Reply
from sightline.audit.audit_items import Request
from sightline.audit.endpoint_connection import Connection, EndpointError
from sightline.core.plain_text import plain
from sightline.core.typed_json import Described

PER = 1_000_000  # tokens that a price is for
REFUSED_CODES = ("content_filter", "content_policy_violation")
# Fields beyond model and messages, the fullest first; `tokens` is what the longest answer is called.
FORMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("max_tokens", {"temperature": 0, "logprobs": True}),
    ("max_tokens", {"temperature": 0}),
    ("max_completion_tokens", {}),
)


class BudgetError(ValueError):
    """The next request could exceed a cap."""


class _Token(Described):
    logprob: float


class _Logprobs(Described):
    content: list[_Token] | None = None


class _Message(Described):
    content: str | None = None
    refusal: str | None = None


class _Choice(Described):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(Described):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(0, ge=0)


class _Evidence(Described):
    """The field `sightline` of Sightline's own server."""

    confidence: float = Field(ge=0, le=1)


class _Completion(Described):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None
    sightline: _Evidence | None = None


@dataclass(frozen=True)
class Budget:
    """Prices per million tokens, and caps of this audit, what it spent before included; None: no cap."""

    price_in: float = 0.0
    price_out: float = 0.0
    max_cost: float | None = None
    max_tokens: int | None = None

    def cost(self, reply: Reply) -> float:
        return (
            self.price_in * (reply.prompt_tokens or 0) + self.price_out * (reply.completion_tokens or 0)
        ) / PER

    @property
    def capped(self) -> bool:
        return self.max_cost is not None or self.max_tokens is not None


class EndpointAnswerer:
    """`model` at a connection, with so many requests at a time. `spent`: the replies of an earlier run of
    this audit."""

    def __init__(
        self,
        connection: Connection,
        model: str,
        connections: int,
        budget: Budget,
        spent: Sequence[Reply] = (),
    ) -> None:
        self._connection, self._model, self._width, self._budget = connection, model, connections, budget
        self._form = 0
        self._cost = self._dearest = 0.0
        self._tokens = self._most_tokens = 0
        for reply in spent:
            self._count(reply)
        self.identity = Identity(form="endpoint", name=model, version=connection.address)

    @property
    def retries(self) -> int:
        """Requests that were sent again."""
        return self._connection.retries

    def answers(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        waiting, running, failure = list(reversed(requests)), dict[Future[Reply], Request](), None
        pool = ThreadPoolExecutor(self._width, "audit")
        try:
            while waiting or running:
                while waiting and failure is None and len(running) < self._width:
                    if (over := self._over(len(running))) is not None:
                        if not running:
                            raise BudgetError(
                                f"{over}; {len(waiting)} of {len(requests)} requests are left. What was "
                                "answered is kept: raise the cap and run the same command, it goes on"
                            )
                        break
                    request = waiting.pop()
                    running[pool.submit(self._ask, request)] = request
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    request = running.pop(future)
                    try:
                        reply = future.result()
                    except EndpointError as error:
                        failure = failure or error
                        self._connection.stopped.set()
                        continue
                    self._count(reply)
                    yield request, reply
            if failure is not None:
                raise failure
        finally:
            self._connection.stopped.set()
            pool.shutdown(cancel_futures=True)

    def _over(self, running: int) -> str | None:
        """Which cap the next request could exceed. Until one reply has shown what a request takes, one is
        under way at a time."""
        budget = self._budget
        if not budget.capped:
            return None
        if not self._most_tokens and running:
            return "the first reply is awaited"
        cost, tokens = ((running + 1) * self._dearest, (running + 1) * self._most_tokens)
        if budget.max_cost is not None and self._cost + cost > budget.max_cost:
            return f"--max-cost {budget.max_cost:g} is reached: {self._cost:.4f} is spent"
        if budget.max_tokens is not None and self._tokens + tokens > budget.max_tokens:
            return f"--max-tokens {budget.max_tokens} is reached: {self._tokens} are spent"
        return None

    def _count(self, reply: Reply) -> None:
        if self._budget.capped and reply.prompt_tokens is None and not reply.refused:
            raise EndpointError(
                f"{self._connection.address} does not say what a request takes (`usage`), so no cap can be "
                "kept: leave out --max-cost and --max-tokens"
            )
        cost, tokens = self._budget.cost(reply), (reply.prompt_tokens or 0) + (reply.completion_tokens or 0)
        self._cost, self._dearest = self._cost + cost, max(self._dearest, cost)
        self._tokens, self._most_tokens = self._tokens + tokens, max(self._most_tokens, tokens)

    def _ask(self, request: Request) -> Reply:
        started = time.monotonic()
        first, form = None, self._form
        while True:
            try:
                body = self._connection.post(self._body(request, form))
                self._form = max(self._form, form)
                return self._reply(body, time.monotonic() - started)
            except EndpointError as error:
                if error.code in REFUSED_CODES:
                    return Reply(text="", refused=True, seconds=time.monotonic() - started)
                first = first or error
                form += 1
                if error.status not in (400, 422) or form == len(FORMS):
                    raise first from None

    def _body(self, request: Request, form: int) -> dict[str, Any]:
        tokens, fields = FORMS[form]
        content = [  # the picture first, as models are trained and as a model of transformers is asked here
            {"type": "image_url", "image_url": {"url": request.picture.url}},
            {"type": "text", "text": request.text},
        ]
        messages = [{"role": "user", "content": content}]
        return {"model": self._model, "messages": messages, tokens: request.tokens, **fields}

    def _reply(self, body: dict[str, Any], seconds: float) -> Reply:
        try:
            completion = _Completion.model_validate(body)
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{plain('.'.join(map(str, first['loc'])))}: {first['msg']}"
            raise EndpointError(
                f"{self._connection.address}: a reply that is no chat completion ({what})"
            ) from error
        choice, usage = completion.choices[0], completion.usage
        refused = choice.message.refusal is not None or choice.finish_reason == "content_filter"
        return Reply(
            text=choice.message.content or choice.message.refusal or "",
            probability=_probability(completion),
            refused=refused, cut=choice.finish_reason == "length",
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            seconds=seconds,
        )  # fmt: skip


def _probability(completion: _Completion) -> float | None:
    """Of the whole answer: the product of its tokens' probabilities, or the confidence that Sightline's
    server gives. In [0, 1]."""
    if completion.sightline is not None:
        return completion.sightline.confidence
    logprobs = completion.choices[0].logprobs
    if logprobs is None or not logprobs.content:
        return None
    return min(math.exp(min(sum(token.logprob for token in logprobs.content), 0.0)), 1.0)
