"""The page on the server's application, and the guard that keeps it on this machine."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from sightline.page.build import build
from sightline.page.quiet import gr
from sightline.page.style import css, theme
from sightline.serve.model import Model
from sightline.serve.settings import Limits

Scope, Receive, Send = dict[str, Any], Callable[[], Awaitable[dict]], Callable[[dict], Awaitable[None]]

# Gradio's scripts are inline and compile the parts' own scripts, so both must be allowed; where the page may
# send or load from is this server alone.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'none'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
GRADIO = "/gradio_api/"
# Of Gradio's own routes the page needs these; the others take, hand out or fetch files.
POSTED = frozenset(GRADIO + name for name in ("queue/join", "cancel", "reset"))
NEEDED = POSTED | {GRADIO + name for name in ("queue/data", "info", "app_id", "startup-events")}
REFUSED = ("/monitoring", "/file", "/upload", "/proxy", "/static/ffmpeg", "/login", "/logout", "/deep_link")
FOREIGN = re.compile(rb"<(?:meta|link)\s[^>]*?[\"']https?://[^>]*>")


class Guard:
    """ASGI middleware: the headers above, and 404 for what Gradio offers and the page does not use."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if not _needed(path):
            await send({"type": "http.response.start", "status": 404, "headers": HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, _Clean(send) if path == "/" else _headed(send))


def _needed(path: str) -> bool:
    if path.startswith(GRADIO):
        return path in NEEDED or path.startswith(GRADIO + "heartbeat/")
    return not path.startswith(REFUSED)


def _headed(send: Send) -> Send:
    async def headed(message: dict) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *HEADERS]
        await send(message)

    return headed


class _Clean:
    """Sends the page without the addresses that Gradio puts into its head for other sites' previews."""

    def __init__(self, send: Send) -> None:
        self._send, self._start, self._body = send, {}, b""

    async def __call__(self, message: dict) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = FOREIGN.sub(b"", self._body)
        kept = [pair for pair in self._start.get("headers", []) if pair[0].lower() != b"content-length"]
        headers = [*kept, *HEADERS, (b"content-length", str(len(body)).encode())]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def mount(app: FastAPI, model: Model, limits: Limits, bundle: Path, checkout: Path | None) -> FastAPI:
    """Put the page at / of the server's application, beside its own routes. Returns the application."""
    page = build(lambda: app.state.desk, model, limits, bundle, checkout)
    gr.mount_gradio_app(
        app, page, "/", theme=theme(), css=css(), footer_links=[], run_history=False, ssr_mode=False,
        pwa=False, mcp_server=False, enable_monitoring=False, show_error=False, max_file_size=0,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )  # fmt: skip
    app.state.shield.asked |= POSTED  # the API's limits of bytes, requests and time hold for the page too
    app.add_middleware(Guard)
    return app
