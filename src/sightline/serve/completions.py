"""A chat request as a question to the model, and its reply as OpenAI's objects: whole, or in pieces as it
grows."""

import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sightline.serve import api_schema
from sightline.serve.api_error import ApiError
from sightline.serve.batch_model import NAME, Reply
from sightline.serve.request_settings import Options
from sightline.serve.safety.screen import REFUSED_ANSWER, REFUSED_QUESTION
from sightline.serve.service import Request, Service

NO_EXTENSION = api_schema.Extension()
FILTERED = "content_filter"  # finish_reason of what the policy refuses
NO_TOKENS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
DONE = b"data: [DONE]\n\n"
# Ids are names, no secrets, and a system call for each would let other threads go first.
_DRAW = random.Random()


async def request(service: Service, body: api_schema.ChatRequest, deadline: float) -> Request:
    """The question and picture of a chat request. Raises ApiError for what the model cannot answer."""
    extension = body.sightline or NO_EXTENSION
    url, text = _last(body.messages)
    options = Options(
        extension.spin, body.max_completion_tokens or body.max_tokens, body.temperature, body.top_p,
        body.seed, bool(extension.explanation), extension.retrieval, bool(body.stream),
    )  # fmt: skip
    return await service.request(url, text, options, deadline)


async def completion(
    service: Service, request: Request, body: api_schema.ChatRequest, deadline: float
) -> dict[str, Any]:
    """The answer as one object, or that the policy refuses it."""
    head = _head(service) | {"object": "chat.completion"}
    if request.safety.refused:
        choice = _choice(None, REFUSED_QUESTION, FILTERED)
        return head | {"choices": [choice], "usage": NO_TOKENS} | service.decided(request.safety)
    reply = await service.reply(request, deadline)
    extension = body.sightline or NO_EXTENSION
    evidence = await service.evidence(request.question, reply, deadline, extension.explanation)
    text, safety = service.given(request, reply, evidence)
    choice = _choice(None, REFUSED_ANSWER, FILTERED) if text is None else _choice(text, None, _reason(reply))
    return (
        head
        | {"choices": [choice], "usage": _usage(service, reply)}
        | {"sightline": evidence}
        | service.decided(safety)
    )


async def pieces(
    service: Service, request: Request, body: api_schema.ChatRequest, deadline: float
) -> AsyncIterator[bytes]:
    """The answer as server-sent events; the field `sightline` comes with the reason of the end. Under a
    policy that may change or refuse an answer its words come at once, when it is whole.

    Comes back with the first of them made, so the status reports a refusal or a timeout before the stream
    begins."""
    lines = _events(service, request, body, deadline)
    return _chain(await anext(lines), lines)


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for line in rest:
        yield line


async def _events(
    service: Service, request: Request, body: api_schema.ChatRequest, deadline: float
) -> AsyncIterator[bytes]:
    head = _head(service) | {"object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return _event(head | {"choices": [choice]} | more)

    wants_usage = body.stream_options and body.stream_options.include_usage
    if request.safety.refused:
        yield chunk({"role": "assistant", "content": ""})
        yield chunk({"refusal": REFUSED_QUESTION})
        yield chunk({}, FILTERED, **service.decided(request.safety))
        if wants_usage:
            yield _event(head | {"choices": [], "usage": NO_TOKENS})
        yield DONE
        return
    sent, opened = "", False
    reply: Reply | None = None
    whole = service.screen is not None and service.screen.holds_back
    try:
        async for part in service.stream(request, deadline):
            if not opened:
                opened = True
                yield chunk({"role": "assistant", "content": ""})
            if isinstance(part, Reply):
                reply = part
            elif not whole:
                yield chunk({"content": part[len(sent) :]})
                sent = part
        assert reply is not None  # the last part of a stream
        extension = body.sightline or NO_EXTENSION
        evidence = await service.evidence(request.question, reply, deadline, extension.explanation)
    except ApiError as error:
        if not opened:
            raise
        yield _event(error.body())
        return
    text, safety = service.given(request, reply, evidence)
    if text is None:
        yield chunk({"refusal": REFUSED_ANSWER})
    elif rest := text[len(sent) :]:
        yield chunk({"content": rest})
    reason = FILTERED if text is None else _reason(reply)
    yield chunk({}, reason, sightline=evidence, **service.decided(safety))
    if wants_usage:
        yield _event(head | {"choices": [], "usage": _usage(service, reply)})
    yield DONE


def _choice(text: str | None, refusal: str | None, reason: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _head(service: Service) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{_DRAW.getrandbits(96):024x}",
        "created": int(time.time()),
        "model": NAME,
        "system_fingerprint": service.model.fingerprint,
    }


def _last(messages: Sequence[api_schema.Message]) -> tuple[str, str]:
    """(picture, question): the words of the last user message, the last picture of any user message.

    The model reads one question about one picture: no earlier turns and no system messages.
    """
    users = [message for message in messages if message.role == "user"]
    if not users:
        raise ApiError(400, "messages hold no user message", "no_question", "messages")
    parts = [
        [api_schema.TextPart(type="text", text=user.content)]
        if isinstance(user.content, str)
        else user.content or []
        for user in users
    ]
    urls = [[part.image_url.url for part in message if part.type == "image_url"] for message in parts]
    if len(urls[-1]) > 1:
        raise ApiError(400, "this model looks at one picture; send one image_url", "many_images", "messages")
    all_urls = [url for of_message in urls for url in of_message]
    if not all_urls:
        what = "this model answers about a picture: add a part of type image_url"
        raise ApiError(400, what, "no_image", "messages")
    text = " ".join(part.text for part in parts[-1] if part.type == "text")
    if len(text) > api_schema.MAX_TEXT:
        raise ApiError(
            400, f"the question has more than {api_schema.MAX_TEXT} characters", "too_long", "messages"
        )
    return all_urls[-1], text


def _reason(reply: Reply) -> str:
    return "stop" if reply.answer.finished else "length"


def _usage(service: Service, reply: Reply) -> dict[str, int]:
    rows, cols = service.model.session.engine.config["grid"]
    prompt, completion = rows * cols + len(reply.answer.question_ids), len(reply.answer.ids)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
