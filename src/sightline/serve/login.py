"""The login of the page of a server with keys: an API key once, then a cookie that is not the key.

A session is a signed text and no record here. It is signed with a secret made from the key that began it, so
every server with that key knows it (several behind one proxy, and the next one after a restart), and one that
starts without the key does not. A logout is remembered by the server that it was said to.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup
from starlette.requests import ClientDisconnect, cookie_parser

from sightline.core import templates
from sightline.serve.api_error import ApiError
from sightline.serve.connections import peer_of
from sightline.serve.deploy.deployment import Deployment
from sightline.serve.middleware import LOGIN, LOGOUT

COOKIE = "sightline_session"
BODY_BYTES = 4096  # of the form: a key, encoded
CLOCKS_S = 60  # by which the clocks of two servers may differ
REMEMBERED = 10_000  # addresses with wrong keys; sessions that were logged out of
NONCE = 14  # bytes; with time and signature a multiple of 3, which base64 does not pad
DIGEST = hashlib.sha256
# No script, nothing from elsewhere; what every answer of the page carries stands beside it.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
WRONG = "That is no key of this server."
MANY = "Too many wrong keys came from your address. Try again in {} min."


class SignedSessions:
    """Signed texts: when, something random, and an HMAC over both. Made and judged by the clock."""

    def __init__(self, keys: Sequence[str], seconds: int) -> None:
        # Costly to make: who has a session cannot try many keys for the one that signed it.
        self._secrets = [
            hashlib.scrypt(key.encode(), salt=COOKIE.encode(), n=2**14, r=8, p=1) for key in keys
        ]
        self._seconds = seconds
        self._ended: OrderedDict[bytes, None] = OrderedDict()

    def begin(self, key: int) -> str:
        """A new session, of the key with this number."""
        said = int(time.time()).to_bytes(8) + secrets.token_bytes(NONCE)
        return base64.urlsafe_b64encode(said + self._sign(self._secrets[key], said)).decode()

    def holds(self, session: str) -> bool:
        said = self._said(session)
        age_s = time.time() - int.from_bytes(said[:8]) if said else 0
        return bool(said) and -CLOCKS_S <= age_s < self._seconds and said not in self._ended

    def end(self, session: str) -> None:
        """Forget a session before its time."""
        if self.holds(session):
            self._ended[self._said(session)] = None
            if len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)

    def _said(self, session: str) -> bytes:
        """What was signed; empty where no secret signed it."""
        try:
            raw = base64.b64decode(session, b"-_", validate=True)
        except ValueError:
            return b""
        said, signature = raw[: 8 + NONCE], raw[8 + NONCE :]
        signed = [hmac.compare_digest(self._sign(secret, said), signature) for secret in self._secrets]
        return said if any(signed) else b""

    @staticmethod
    def _sign(secret: bytes, said: bytes) -> bytes:
        return hmac.digest(secret, said, DIGEST)


class WrongKeys:
    """How many wrong keys came from each address: beyond `most` in `seconds` no key of it is compared."""

    def __init__(self, most: int, seconds: int) -> None:
        self._most, self._seconds = most, seconds
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()  # wrong keys, when the first came

    def wait_s(self, peer: str) -> int:
        """Seconds until a key of this address is compared again; 0: now."""
        count, since = self._counts.get(peer, (0, 0.0))
        left_s = since + self._seconds - time.monotonic()
        return max(1, round(left_s)) if count >= self._most and left_s > 0 else 0

    def add(self, peer: str) -> None:
        now = time.monotonic()
        count, since = self._counts.pop(peer, (0, now))
        self._counts[peer] = (1, now) if now - since >= self._seconds else (count + 1, since)
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)


class Login:
    """The routes /login and /logout, and which requests have logged in."""

    def __init__(self, deployment: Deployment, keys: Sequence[str]) -> None:
        self._keys = [DIGEST(key.encode()).digest() for key in keys]
        self._sessions = SignedSessions(keys, deployment.login.session_s)
        self._wrong = WrongKeys(deployment.login.tries, deployment.login.tries_s)
        self._seconds, self._root = deployment.login.session_s, deployment.root_path or ""

    def let_in(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request comes with a session that holds."""
        return self._sessions.holds(_cookie(headers))

    def add_to(self, app: FastAPI) -> None:
        """Put the login before the page of a server's application."""
        app.add_api_route(LOGIN, self._show, methods=["GET"], include_in_schema=False)
        app.add_api_route(LOGIN, self._log_in, methods=["POST"], include_in_schema=False)
        app.add_api_route(LOGOUT, self._log_out, methods=["POST"], include_in_schema=False)
        app.state.middleware.login = self
        app.state.middleware.routes |= {LOGIN, LOGOUT}

    async def _show(self, request: Request) -> Response:
        if self.let_in(dict(request.scope["headers"])):
            return RedirectResponse(f"{self._root}/", 303)
        return self._form()

    async def _log_in(self, request: Request) -> Response:
        key = (await _posted_key(request)).strip()
        peer = peer_of(request.client.host if request.client else "")
        if wait_s := self._wrong.wait_s(peer):
            minutes = -(-wait_s // 60)
            return self._form(429, MANY.format(minutes), {"Retry-After": str(wait_s)})
        digest = DIGEST(key.encode()).digest()
        same = [hmac.compare_digest(digest, own) for own in self._keys]  # all of them, whichever it is
        if not any(same):
            self._wrong.add(peer)
            return self._form(401, WRONG, {"WWW-Authenticate": "Bearer"})
        answer = RedirectResponse(f"{self._root}/", 303)
        answer.set_cookie(COOKIE, self._sessions.begin(same.index(True)), **self._attributes(request))
        return answer

    async def _log_out(self, request: Request) -> Response:
        self._sessions.end(_cookie(dict(request.scope["headers"])))
        answer = RedirectResponse(f"{self._root}{LOGIN}", 303)
        answer.set_cookie(COOKIE, "", **self._attributes(request) | {"max_age": 0})
        return answer

    def _attributes(self, request: Request) -> dict:
        """Of the cookie. Secure where the browser came by TLS: a proxy that is believed says so, or its own
        Origin."""
        tls = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
        return {
            "max_age": self._seconds, "path": self._root or "/", "httponly": True, "samesite": "strict",
            "secure": tls,
        }  # fmt: skip

    def _form(self, status: int = 200, said: str = "", headers: dict[str, str] | None = None) -> Response:
        page = templates.render(
            __package__, "login.html", action=f"{self._root}{LOGIN}", said=said, hours=self._seconds / 3600,
            css=Markup(templates.render(templates.CORE, "page.css")),
        )  # fmt: skip
        return HTMLResponse(page, status, HEADERS | (headers or {}))


def _cookie(headers: dict[bytes, bytes]) -> str:
    """The session that a request comes with; empty where there is none."""
    return cookie_parser(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE, "")


async def _posted_key(request: Request) -> str:
    """The field `key` of the form. Raises ApiError for anything that the form does not send."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
        raise ApiError(415, "expected the form of the login page", "unsupported_media_type")
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES:
                raise ApiError(413, f"the body is larger than {BODY_BYTES} bytes", "body_too_large")
    except ClientDisconnect:
        raise ApiError(400, "the client left", "disconnected") from None
    return parse_qs(body.decode("latin-1")).get("key", [""])[0]
