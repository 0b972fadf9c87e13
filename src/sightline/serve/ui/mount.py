"""The page on the server's application, and the guard that keeps it on this machine.

Gradio takes seconds to import, so the page is made in a thread once the server runs: the API answers at once,
and a browser that opens the page sooner waits for it.
"""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from sightline.serve.api_error import ApiError
from sightline.serve.batch_model import Model
from sightline.serve.deploy.deployment import Limits
from sightline.serve.middleware import FAILED, replay, respond
from sightline.serve.ui import page_input
from sightline.serve.ui.sessions import Sessions

log = logging.getLogger("sightline.page")


# Gradio's scripts are inline and compile the parts' own scripts, so both must be allowed; where the page may
# send or load from is this server alone.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'none'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
]
GRADIO = "/gradio_api/"
# Of Gradio's own routes the page needs these; the others take, hand out or fetch files.
JOIN, COLLECT = GRADIO + "queue/join", GRADIO + "queue/data"
POSTED = frozenset((JOIN, GRADIO + "cancel", GRADIO + "reset"))
NEEDED = POSTED | {COLLECT} | {GRADIO + name for name in ("info", "app_id", "startup-events")}
REFUSED = ("/monitoring", "/file", "/upload", "/proxy", "/static/ffmpeg", "/login", "/logout", "/deep_link")
# Gradio names it from the root of the host, where under a root path another site's is.
MANIFEST, ICON = b'<link rel="manifest" href="/manifest.json" />', b'<link rel="icon" href="./favicon.ico" />'
FOREIGN = re.compile(rb"<(?:meta|link)\s[^>]*?[\"']https?://[^>]*>")


class PageMiddleware:
    """ASGI middleware: 404 for what Gradio offers and the page does not use, 400 for inputs that the page
    does not send; the page itself without foreign addresses."""

    def __init__(self, app: Any, sessions: Sessions) -> None:
        self.app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["state"]["path"]
        if not _needed(path):
            await respond(send, ApiError(404, "Not Found"))
            return
        if path in POSTED and scope["method"] == "POST":
            try:
                given = page_input.checked(await _whole(receive))
                if path == JOIN:
                    self._sessions.event(given.session_hash or "")
                body = given.model_dump_json(exclude_unset=True).encode()
                receive = replay(body, receive)
            except ApiError as error:
                await respond(send, error)
                return
        elif path == COLLECT:
            for session in parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", []):
                self._sessions.collected(session)
        await self.app(scope, receive, _Clean(send) if path == "/" else _OneForm(send))


async def _whole(receive: Receive) -> bytes:
    """The body, which `RequestMiddleware` has counted."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _needed(path: str) -> bool:
    if path.startswith(GRADIO):
        return path in NEEDED or path.startswith(GRADIO + "heartbeat/")
    return not path.startswith(REFUSED)


class _OneForm:
    """Sends errors of the page's own routes in the form that every error here has; what failed inside Gradio
    says no more than that."""

    def __init__(self, send: Send) -> None:
        self._send, self._refused = send, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._refused = True
            status = HTTPStatus(message["status"])
            await respond(self._send, FAILED if status >= 500 else ApiError(status, status.phrase))
        elif not self._refused:
            await self._send(message)


class _Clean:
    """Sends the page without the addresses that Gradio puts into its head for other sites' previews."""

    def __init__(self, send: Send) -> None:
        self._send, self._body = send, b""
        self._start: Message = {}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = FOREIGN.sub(b"", self._body).replace(MANIFEST, ICON)
        kept = [pair for pair in self._start.get("headers", []) if pair[0].lower() != b"content-length"]
        headers = [*kept, (b"content-length", str(len(body)).encode())]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


class PageMount:
    """ASGI application: the page, which `make()` returns as one, from when it is there; sooner requests wait.

    `open` makes it and ends with the server; a page that cannot be made is logged and answered 503.
    """

    def __init__(self, make: Callable[[], FastAPI]) -> None:
        self._make = make
        self._page: asyncio.Future[FastAPI] | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        self._page, over = asyncio.get_running_loop().create_future(), asyncio.Event()
        kept = asyncio.create_task(self._keep(self._page, over))
        try:
            yield
        finally:
            over.set()
            if not self._page.done():
                kept.cancel()  # who stops the server does not wait for a page
            with suppress(asyncio.CancelledError):
                await kept

    async def _keep(self, ready: asyncio.Future[FastAPI], over: asyncio.Event) -> None:
        try:
            page = await self._made()
            async with page.router.lifespan_context(page):  # begun and ended in one task, as it must be
                ready.set_result(page)
                await over.wait()
        except Exception as error:
            log.exception("the page cannot be made; the API serves on")
            if not ready.done():
                ready.set_exception(error)
                ready.exception()  # it is logged above, whether the page is requested or not

    async def _made(self) -> FastAPI:
        """`make()` in a thread that ends with the process, in whatever import it is."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[FastAPI] = loop.create_future()

        def settle(set_outcome: Callable[[Any], None], value: Any) -> None:
            if not done.done():
                set_outcome(value)

        def work() -> None:
            outcome: tuple[Callable[[Any], None], Any]
            try:
                outcome = done.set_result, self._make()
            except Exception as error:
                outcome = done.set_exception, error
            with suppress(RuntimeError):  # the loop is closed: nothing waits any more
                loop.call_soon_threadsafe(settle, *outcome)

        threading.Thread(target=work, name="page", daemon=True).start()
        return await done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            assert self._page is not None  # `open` made it
            page = await asyncio.shield(self._page)
        except Exception:
            await respond(send, ApiError(503, "the page cannot be made; the server's log has the reason"))
            return
        await page(scope, receive, send)


def mount(app: FastAPI, model: Model, limits: Limits, bundle: Path, checkout: Path | None) -> FastAPI:
    """Put the page at / of the server's application, behind its own routes. Returns the application."""

    def make() -> FastAPI:
        import gradio as gr

        from sightline.serve.ui.ui_layout import build
        from sightline.serve.ui.ui_style import LOGIN_AGAIN, css, theme

        root_path, login = app.state.middleware.root_path, app.state.middleware.login is not None
        page = build(lambda: app.state.service, model, limits, bundle, checkout, login)
        sessions.watch(page)
        return gr.mount_gradio_app(
            FastAPI(docs_url=None, redoc_url=None, openapi_url=None), page, "/", theme=theme(), css=css(),
            footer_links=[], run_history=False, ssr_mode=False, pwa=False, mcp_server=False,
            enable_monitoring=False, show_error=False, max_file_size=0, root_path=root_path,
            head=LOGIN_AGAIN if login else None,
            app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        )  # fmt: skip

    sessions = Sessions(limits)
    door, before = PageMount(make), app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with before(app), door.open():
            yield

    app.router.lifespan_context = lifespan
    # Not mounted: the API's own paths keep their 405 for another method.
    app.router.default = PageMiddleware(door, sessions)
    # The API's limits of bytes, requests and time hold for the page too.
    app.state.middleware.limited_paths |= POSTED
    app.state.middleware.headers = HEADERS
    return app
