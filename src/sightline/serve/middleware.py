"""Access control and limits before the routes: API keys, host names, requests at once, bytes. Pure ASGI, the
outermost middleware.

Refusals are cheap: key, host and capacity are checked before a byte of the body is read. Logs name route,
status, bytes and time, never questions, answers or pictures.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import time
from collections.abc import Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Receive, Scope, Send

from sightline.serve import same_site
from sightline.serve.api_error import ApiError
from sightline.serve.deploy.deployment import Deployment
from sightline.serve.prometheus import Metrics

if TYPE_CHECKING:
    from sightline.serve.login import Login

log, failures = logging.getLogger("sightline.access"), logging.getLogger("sightline.serve")
FAILED = ApiError(500, "the server failed; its log has the reason", "internal")
FULL = ApiError(429, "the server is at its limit; try again", "overloaded", retry_s=1)
STOPPING = ApiError(503, "the server is stopping", "draining", retry_s=5)
CORS = b"access-control-"  # headers that let pages of other sites read an answer: none leaves but our own
ALWAYS = ("/live", "/ready")  # answered without a key, when full and when draining
OTHER = "other"  # routes that are not of the API: the page's, and unknown ones
LOGIN, LOGOUT = "/login", "/logout"  # of people, who get the page for a key
FORWARDED = b"x-forwarded-"  # headers that the server has read already, where it believes who sent them
OF_THE_PAGE = ("assets", "config", "gradio_api", "static", "svelte", "theme.css")  # how its paths begin


class RequestMiddleware:
    """ASGI middleware. `keys`: accepted API keys; none are asked for when it is empty, and then only requests
    to the host that is listened on, and to the deployment's `hosts`, are answered. No page of another site is
    answered through a browser, but for the deployment's `origins`.
    `routes`: the application's paths with their methods; figures and logs name no others. `headers` go with
    every answer.
    """

    app: Any  # the next ASGI application; set when the application builds its middleware
    login: "Login | None" = None  # where keys are asked for and there is a page: what lets people in

    def __init__(
        self,
        deployment: Deployment,
        metrics: Metrics,
        keys: Sequence[str],
        routes: dict[str, Collection[str]],
    ) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.limits, self.metrics, self.routes = deployment.limits, metrics, frozenset(routes)
        self.limited_paths = frozenset(path for path, methods in routes.items() if "post" in methods)
        self.root_path, self.proxies = deployment.root_path or "", deployment.proxies
        _check_root_path(deployment, {*routes, LOGIN, LOGOUT, *(f"/{name}" for name in OF_THE_PAGE)})
        self.keys = [_digest(key.encode()) for key in keys]
        any_host = bool(keys) and not deployment.hosts
        self.hosts = None if any_host else same_site.names(deployment.host, deployment.hosts)
        self.origins = frozenset(deployment.origins)
        self.inside, self.bytes_inside, self.draining = 0, 0, False
        self._reading: set[asyncio.Timeout] = set()  # of bodies that are not whole
        metrics.inside.set_function(lambda: self.inside)

    def around(self, app: Any) -> "RequestMiddleware":
        """This middleware before an application, for `add_middleware`."""
        self.app = app
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, sent = time.monotonic(), {"status": 0, "bytes": 0}
        allowing: list[tuple[bytes, bytes]] = []

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent["status"] = message["status"]
                closing = [(b"connection", b"close")] if self.draining else []
                headers = [
                    pair for pair in message.get("headers", []) if not pair[0].lower().startswith(CORS)
                ]
                message["headers"] = [*headers, *allowing, *self.headers, *closing]
            else:
                sent["bytes"] += len(message.get("body", b""))
            await send(message)

        path = _below(self.root_path, scope["path"])
        scope["root_path"], scope["path"] = self.root_path, self.root_path + path
        scope["headers"] = [pair for pair in scope["headers"] if not pair[0].startswith(FORWARDED)]
        scope.setdefault("state", {}).update(deadline=begun + self.limits.timeout_s, path=path)
        try:
            if origin := same_site.check(scope["headers"], self.hosts, self.origins):
                allowing += same_site.allowing(origin)
            asked = dict(scope["headers"])
            if origin and scope["method"] == "OPTIONS" and b"access-control-request-method" in asked:
                allowing += same_site.preflight(asked)  # it comes without a key
                await counted({"type": "http.response.start", "status": 204, "headers": []})
                await counted({"type": "http.response.body"})
            else:
                await self._through(scope, path, asked, receive, counted)
        except ApiError as error:
            # Error, traceback and the future it came through hold each other, and with them the whole body.
            await respond(counted, error.with_traceback(None))
        except Exception:
            if sent["status"]:  # half an answer: the server cuts the connection
                raise
            failures.exception("a request failed")
            await respond(counted, FAILED)
        finally:
            route = self._route(path)
            seconds = time.monotonic() - begun
            status = sent["status"] or 500
            self.metrics.answered(route, status, seconds)
            if status != 429:  # those are counted: a flood of requests is no flood of lines
                log.info(
                    "%s %s %d %d bytes %.1f ms",
                    scope["method"], route, status, sent["bytes"], 1000 * seconds,
                    extra={"request": {
                        "method": scope["method"], "route": route, "status": status, "bytes": sent["bytes"],
                        "ms": round(1000 * seconds, 1),
                    }},
                )  # fmt: skip

    async def _through(
        self, scope: Scope, path: str, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        if path in ALWAYS or (self.login and path in (LOGIN, LOGOUT)):
            await self.app(scope, receive, send)
            return
        if self.keys and not (self.login and self._route(path) == OTHER and self.login.let_in(headers)):
            if self.login and path in ("", "/") and b"authorization" not in headers:
                await _redirect(send, self.root_path + LOGIN)
                return
            self._check_key(headers.get(b"authorization", b""))
        if not path:
            await _redirect(send, f"{self.root_path}/")  # below which the page's own addresses lie
            return
        if scope["method"] != "POST" or path not in self.limited_paths:
            await self.app(scope, receive, send)
            return
        if refusal := self._refusal():
            await respond(send, refusal)
            return
        parts: list[bytes] = []
        try:
            await self._read(parts, headers, receive, scope["state"]["deadline"])
            if refusal := self._refusal():  # a place is taken by a whole body: a slow one keeps nobody out
                await respond(send, refusal)
                return
            place = Place(self)
            self.metrics.admissions["admitted"].inc()
            try:
                answer = self.app(scope, replay(b"".join(parts), receive), place.around(send))
                await while_waited_for(answer, receive, place)
            finally:
                place.give_back()
        finally:
            self.bytes_inside -= sum(map(len, parts))

    def _refusal(self) -> ApiError | None:
        if self.draining:
            self.metrics.admissions["stopping"].inc()
            return STOPPING
        if self.inside >= self.limits.queue:
            self.metrics.admissions["full"].inc()
            return FULL
        return None

    def stop_reading(self) -> None:
        """Refuse the requests whose bodies are not whole; for the event loop, while the server drains."""
        for patience in self._reading:
            if not patience.expired():
                patience.reschedule(asyncio.get_running_loop().time())

    def _check_key(self, header: bytes) -> None:
        kind, _, key = header.partition(b" ")
        digest = _digest(key.strip())
        # Every key is compared, as digests of one length: the time reveals neither which matched nor how far.
        right = [hmac.compare_digest(digest, key) for key in self.keys]
        if kind.lower() != b"bearer" or not any(right):
            raise ApiError(401, "expected the header Authorization: Bearer <API key>", "invalid_api_key")

    async def _read(
        self, parts: list[bytes], headers: dict[bytes, bytes], receive: Receive, deadline: float
    ) -> None:
        """Append the body to `parts`, counted in `bytes_inside`. Raises ApiError for one that is too much."""
        limit, length = self.limits.body_bytes, headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            raise ApiError(415, "expected Content-Type: application/json", "unsupported_media_type")
        size, patience = 0, asyncio.timeout(max(deadline - time.monotonic(), 0))
        self._reading.add(patience)
        try:
            async with patience:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _gone()
                    parts.append(message.get("body", b""))
                    self.bytes_inside += len(parts[-1])
                    size, more = size + len(parts[-1]), message.get("more_body", False)
                    if size > limit:
                        raise _too_large(limit)
                    if self.bytes_inside > self.limits.inside_bytes:
                        self.metrics.admissions["bytes"].inc()
                        raise ApiError(429, "too many bytes at once; try again", "overloaded", retry_s=1)
        except TimeoutError as error:
            if self.draining:
                self.metrics.admissions["stopping"].inc()
                raise ApiError(STOPPING.status, STOPPING.message, "draining", retry_s=5) from error
            raise ApiError(408, "the body came too slowly", "timeout") from error
        finally:
            self._reading.discard(patience)

    def _route(self, path: str) -> str:
        """The route for figures and logs: unknown paths are one, so that no client can fill the memory."""
        if path.startswith("/v1/models/"):
            return "/v1/models/{name}"
        return path if path in self.routes else OTHER


class Place:
    """One of the places inside: taken now, given back once the answer is made. How long the client takes to
    read that is its own affair."""

    def __init__(self, middleware: RequestMiddleware) -> None:
        self._middleware, self.held = middleware, True
        middleware.inside += 1

    def give_back(self) -> None:
        if self.held:
            self.held = False
            self._middleware.inside -= 1

    def around(self, send: Send) -> Send:
        """`send`, which waits for the client where that is slow; whoever knows an answer's length has it."""

        async def giving_back(message: Message) -> None:
            if message["type"] == "http.response.start":
                made = any(name.lower() == b"content-length" for name, _ in message.get("headers", []))
            else:
                made = not message.get("more_body", False)
            if made:
                self.give_back()
            await send(message)

        return giving_back


async def while_waited_for(answer: Coroutine[Any, Any, None], receive: Receive, place: Place) -> None:
    """Make an answer; where its client leaves before it is made, it is given up, and what of it waits for the
    model leaves the queue. Raises ApiError then."""
    work, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
        if place.held and not work.done():
            raise _gone()
        await work
    finally:
        work.cancel()
        leaving.cancel()


async def _left(receive: Receive) -> None:
    """Returns when the client has left, or has all of its answer: nothing else follows a whole body."""
    if (await receive())["type"] != "http.disconnect":
        await asyncio.Event().wait()


async def _redirect(send: Send, path: str) -> None:
    headers = [(b"location", path.encode()), (b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body"})


async def respond(send: Send, error: ApiError) -> None:
    body = json.dumps(error.body()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.retry_s is not None:
        headers.append((b"retry-after", str(error.retry_s).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def replay(body: bytes, receive: Receive) -> Receive:
    """The body once, then the messages of the connection (that the client left)."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _gone() -> ApiError:
    return ApiError(400, "the client left", "disconnected")


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is larger than {limit} bytes", "body_too_large")


def _below(root_path: str, path: str) -> str:
    """A path without the root path, which a proxy may have taken off already."""
    if root_path and (path == root_path or path.startswith(f"{root_path}/")):
        return path[len(root_path) :]
    return path


def _check_root_path(deployment: Deployment, paths: Collection[str]) -> None:
    """Raise ValueError for a root path that a path of the server's own begins with: a request would have two
    meanings."""
    begins = {path.split("/")[1] for path in paths}
    if deployment.root_path and deployment.root_path.split("/")[1] in begins:
        where = f"{deployment.origin['root_path']}: root_path: {deployment.root_path}"
        raise ValueError(f"{where}: a path of the server begins so, too; take a name that is none of "
                         f"{', '.join(sorted(begins))}")  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
