"""The HTTP API: OpenAI's routes, so that existing clients work unchanged, and routes of its own.

Every error has the form of OpenAI's errors. The schema is at /openapi.json; there is no
page of documentation here, as the usual ones load scripts from elsewhere.
"""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from sightline.serve import api_schema, completions
from sightline.serve.api_error import ApiError, error_body
from sightline.serve.batch_model import NAME, Model
from sightline.serve.deploy.deployment import Deployment
from sightline.serve.image_input import is_picture
from sightline.serve.middleware import STOPPING, RequestMiddleware
from sightline.serve.prometheus import Metrics
from sightline.serve.request_settings import Options
from sightline.serve.safety.screen import ALLOWED
from sightline.serve.service import Service

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": api_schema.Error, "description": what}
    for status, what in {
        400: "The request cannot be used", 401: "No valid API key", 403: "Not for this host name",
        404: "Not here", 408: "The body came too slowly", 413: "Too many bytes or pixels",
        415: "Not JSON", 429: "Full; see Retry-After", 503: "Stopping", 504: "Took too long",
    }.items()
}  # fmt: skip
READING: dict[int | str, dict[str, Any]] = {status: REFUSALS[status] for status in (401, 403, 404)}

PICTURE: dict[int | str, dict[str, Any]] = READING | {status: REFUSALS[status] for status in (400, 504)}


def create_app(model: Model, deployment: Deployment, keys: Sequence[str] = ()) -> FastAPI:
    """The application over a loaded model. `keys`: accepted API keys, none are asked for when empty.
    `app.state.middleware` counts the requests inside and holds `draining`."""
    metrics = Metrics(model, deployment.limits.queue)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = Service(model, deployment, metrics)
        metrics.queue.set_function(lambda: len(app.state.service.worker))
        yield
        app.state.service.close()

    app = FastAPI(
        title="Sightline",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_exception_handler(ApiError, _refuse)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    bounded = api_schema.bounded(deployment.limits)
    _add_openai(app, bounded)
    _add_search_and_explain(app, bounded)
    _add_state(app)
    if deployment.metrics:
        _add_metrics(app, metrics)
    paths = app.openapi()["paths"]
    for methods in paths.values():
        for operation in methods.values():
            operation["responses"].pop(
                "422", None
            )  # FastAPI's own form of a refusal, which `_refuse` replaces
    app.state.middleware = RequestMiddleware(deployment, metrics, keys, {"/openapi.json": ["get"]} | paths)
    app.add_middleware(app.state.middleware.around)
    return app


def _add_openai(app: FastAPI, bounded: api_schema.Requests) -> None:
    @app.post("/v1/chat/completions", responses=REFUSALS | {200: {"model": api_schema.ChatResponse}})
    async def chat(request: Request, body: bounded.chat) -> Response:  # type: ignore[name-defined]
        """Answer the last user message about the last picture given."""
        _check_model_name(body.model)
        service, deadline = request.app.state.service, request.state.deadline
        model_request = await completions.request(service, body, deadline)
        if body.stream:
            lines = await completions.pieces(service, model_request, body, deadline)
            return StreamingResponse(lines, media_type="text/event-stream")
        return _json(await completions.completion(service, model_request, body, deadline))

    @app.post("/v1/embeddings", responses=REFUSALS | {200: {"model": api_schema.EmbeddingsResponse}})
    async def embeddings(request: Request, body: bounded.embeddings) -> Response:  # type: ignore[name-defined]
        """Unit vectors of texts and pictures, in one space."""
        _check_model_name(body.model)
        service, deadline = request.app.state.service, request.state.deadline
        service.require_search()
        width = service.model.session.engine.config["embed_dim"]
        if body.dimensions not in (None, width):
            raise ApiError(
                400, f"this model's embeddings have {width} numbers", "bad_dimensions", "dimensions"
            )
        inputs = [body.input] if isinstance(body.input, str) else body.input
        picture_rows = [index for index, text in enumerate(inputs) if is_picture(text)]
        text_rows = [index for index in range(len(inputs)) if index not in set(picture_rows)]
        if any(len(inputs[index]) > api_schema.MAX_TEXT for index in text_rows):
            raise ApiError(400, f"a text has more than {api_schema.MAX_TEXT} characters", "too_long", "input")
        rows: dict[int, np.ndarray] = {}
        if picture_rows:
            embedded = await service.embed_pictures([inputs[index] for index in picture_rows], deadline)
            rows |= {index: embed_E for index, (embed_E, _) in zip(picture_rows, embedded, strict=True)}
        if text_rows:
            texts = await service.embed_texts([inputs[index] for index in text_rows], deadline)
            rows |= dict(zip(text_rows, texts, strict=True))
        packed = body.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(row) if packed else row.tolist()}
            for index, row in sorted(rows.items())
        ]
        tokens = await service.count_tokens([inputs[index] for index in text_rows], deadline)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _json({"object": "list", "data": data, "model": NAME, "usage": usage})

    @app.get("/v1/models", responses=READING | {200: {"model": api_schema.ModelList}})
    async def models() -> Response:
        return _json({"object": "list", "data": [CARD]})

    @app.get("/v1/models/{name}", responses=READING | {200: {"model": api_schema.ModelCard}})
    async def model(name: str) -> Response:
        _check_model_name(name)
        return _json(CARD)


def _add_search_and_explain(app: FastAPI, bounded: api_schema.Requests) -> None:
    @app.post("/search", responses=REFUSALS | {200: {"model": api_schema.SearchResponse}})
    async def search(request: Request, body: bounded.search) -> Response:  # type: ignore[name-defined]
        """Items of the index nearest to words or to a picture."""
        service, deadline, response = request.app.state.service, request.state.deadline, {}
        asked = ALLOWED
        if body.text is not None:
            asked = await service.judged_search(body.text, deadline)
            if asked.refused:
                return _json({"results": []} | service.decided(asked))
            embed_E = (await service.embed_texts([body.text], deadline))[0]
        else:
            embed_E, score = (await service.embed_pictures([body.image], deadline))[0]
            response["judged"] = service.ood_verdict(score)
        if body.rerank:
            results, shown = await service.search_reranked(body.text, embed_E, body.k, body.rerank, deadline)
        else:
            results, shown = await service.search(embed_E, body.k, body.kind, deadline)
        return _json(response | {"results": results} | service.decided(asked, shown))

    @app.post("/similar", responses=REFUSALS | {200: {"model": api_schema.SearchResponse}})
    async def similar(request: Request, body: bounded.similar) -> Response:  # type: ignore[name-defined]
        """Items of the index nearest to one of them."""
        service, deadline = request.app.state.service, request.state.deadline
        results, shown = await service.similar(body.id, body.k, body.kind, deadline)
        return _json({"results": results} | service.decided(shown))

    jpeg: dict[int | str, dict[str, Any]] = {
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
    }

    @app.get("/picture", responses=PICTURE | jpeg, response_class=Response)
    async def picture(request: Request, id: api_schema.ItemId) -> Response:
        """The small picture of an item of the index."""
        service, deadline = request.app.state.service, request.state.deadline
        data = await service.thumbnail(id, deadline)
        return Response(data, media_type="image/jpeg", headers={"X-Content-Type-Options": "nosniff"})

    explained: Any = api_schema.ExplainResponse | api_schema.RefusedQuestion

    @app.post("/explain", responses=REFUSALS | {200: {"model": explained}})
    async def explain(request: Request, body: api_schema.ExplainRequest) -> Response:
        """Answer a question and show, for every word of the answer, where the model looked."""
        service, deadline = request.app.state.service, request.state.deadline
        options = Options(spin=body.spin, max_tokens=body.max_tokens, maps=True)
        model_request = await service.request(body.image, body.question, options, deadline)
        asked = {"question": model_request.question.text}
        if model_request.safety.refused:
            return _json(asked | {"answer": None} | service.decided(model_request.safety))
        reply = await service.reply(model_request, deadline)
        maps = "png" if body.maps == "png" else True
        evidence = await service.evidence(model_request.question, reply, deadline, maps)
        text, safety = service.given(model_request, reply, evidence)
        return _json(asked | {"answer": text} | evidence | service.decided(safety))


def _add_state(app: FastAPI) -> None:
    @app.get("/live", responses={200: {"model": api_schema.State}, 403: REFUSALS[403]})
    async def live() -> Response:
        """The process answers."""
        return _json({"status": "live"})

    @app.get("/ready", responses={200: {"model": api_schema.State}, 403: REFUSALS[403], 503: REFUSALS[503]})
    async def ready(request: Request) -> Response:
        """Requests are taken: 503 while the server stops."""
        if request.app.state.middleware.draining:
            return await _refuse(request, STOPPING)
        return _json({"status": "ready"})


def _add_metrics(app: FastAPI, metrics: Metrics) -> None:
    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    refused: dict[int | str, dict[str, Any]] = {status: REFUSALS[status] for status in (401, 403)}

    @app.get("/metrics", responses=refused | text, response_class=Response)
    async def figures() -> Response:
        """Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


FIELDS = frozenset(  # what an error may name: other names in its place are the client's own
    name
    for model in vars(api_schema).values()
    if isinstance(model, type) and issubclass(model, BaseModel)
    for name in model.model_fields
)
_ENCODE = json.JSONEncoder(allow_nan=False).encode
CARD = {"id": NAME, "object": "model", "created": 0, "owned_by": "sightline"}


def _check_model_name(name: str) -> None:
    if name != NAME:
        raise ApiError(404, f"no such model; this server has {NAME}", "model_not_found", "model")


def _packed(embed_E: np.ndarray) -> str:
    return base64.b64encode(embed_E.astype("<f4").tobytes()).decode()


def _json(body: dict[str, Any]) -> Response:
    return Response(_ENCODE(body).encode(), media_type="application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    """Any error in the form of OpenAI's API. What a client sent is never repeated to it or to a log."""
    if isinstance(error, RequestValidationError):
        error = _invalid(error)
    if isinstance(error, ApiError):
        status, body = error.status, error.body()
        headers = {} if error.retry_s is None else {"Retry-After": str(error.retry_s)}
    else:
        assert isinstance(error, HTTPException)  # the third that this handles
        status, headers = error.status_code, dict(error.headers or {})
        body = error_body(status, str(error.detail), None)
    return Response(json.dumps(body), status, headers, media_type="application/json")


def _invalid(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong with a body, in words of the schema."""
    # Of what may have several forms the deepest fault is in the form that was meant, or one whose type fits.
    fault = max(
        error.errors(),
        key=lambda one: (len(one["loc"]), one["type"] == "unknown_field", not one["type"].endswith("_type")),
    )
    param = ".".join(str(part) for part in fault["loc"] if isinstance(part, int) or part in FIELDS)
    message = fault["msg"]
    if fault["type"] == "union_tag_invalid":  # the one message of pydantic's that repeats a value
        message = f"{fault['ctx']['discriminator']} should be one of {fault['ctx']['expected_tags']}"
    return ApiError(400, f"{param or 'body'}: {message}", fault["type"], param)
