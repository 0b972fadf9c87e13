"""One chat request to an endpoint: sent again after what passes (429, 5xx, a lost connection, a reply that is
no JSON), with growing waits or the one that the server asks for, within a deadline.

Redirects are not followed: the key goes to the address that was named, and nowhere else.
"""

import email.utils
import http.client
import json
import random
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sightline.core.plain_text import plain
from sightline.data.http_connection import FetchError, open_connection, split_url

CHAT = "/chat/completions"
TRIES = 8
LONGEST_WAIT_S = 60.0  # between two tries, unless the server asks for more
LONGEST_ASKED_S = 600.0  # that a server may ask to wait
MAX_REPLY_BYTES = 4 << 20
CHUNK = 1 << 16
BUSY = (408, 409, 425, 429, 500, 502, 503, 504, 529)
SHOWN = 300  # characters of a reply that a message repeats
ANYWHERE = ("0.0.0.0/0", "::/0")


class EndpointError(ValueError):
    """The endpoint cannot be used; what was answered before is kept. `status`: of HTTP, 0 without one;
    `code`: the error code of the reply, as OpenAI's API has it."""

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _Transient(Exception):
    """What may pass; `wait_s` is what the server asked for."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass
class Connection:
    """An endpoint: `url` is its base (https://host/v1) or the address of its chat route, `key` a secret that
    never stands in a message, `per_minute` the most requests a minute (0: no limit), `timeout_s` what one
    try may take, `pause_s` the first wait, `stopped` ends every wait once it is set. Used by several threads,
    each with a connection of its own."""

    url: str
    key: str = field(repr=False)
    per_minute: float
    timeout_s: float
    pause_s: float = 1.0
    stopped: threading.Event = field(default_factory=threading.Event, repr=False)
    retries: int = field(default=0, init=False)
    _next_s: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _local: threading.local = field(default_factory=threading.local, init=False, repr=False)

    def __post_init__(self) -> None:
        parts = split_url(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EndpointError(f"--endpoint {plain(self.url)}: expected https://HOST/v1 or http://HOST/v1")
        if parts.username is not None or parts.password is not None:
            raise EndpointError("--endpoint: the address holds a user or a password; give a key by --key-env")
        if self.key and parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise EndpointError(
                f"--endpoint http://{parts.hostname}: the key would travel unencrypted; use https://"
            )
        path = parts.path.rstrip("/")
        self._parts = parts._replace(path=path if path.endswith(CHAT) else path + CHAT, fragment="")

    @property
    def address(self) -> str:
        """Host and path, without a query, which may hold a secret."""
        return self._parts._replace(query="").geturl()

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """The reply to a chat request. Raises EndpointError for a refusal, and when no try succeeded."""
        data, pause_s, reason = json.dumps(body).encode(), self.pause_s, ""
        for number in range(TRIES):
            if number:
                with self._lock:
                    self.retries += 1
            self._take_turn()
            try:
                return self._try(data)
            except _Transient as error:
                reason = str(error)
                wait_s = pause_s * random.uniform(0.5, 1.0) if error.wait_s is None else error.wait_s
            pause_s = min(2 * pause_s, LONGEST_WAIT_S)
            if number < TRIES - 1 and self.stopped.wait(wait_s):
                raise EndpointError("stopped")
        raise EndpointError(f"{self.address}: no answer in {TRIES} tries, the last: {reason}")

    def _take_turn(self) -> None:
        """Wait until the rate allows a request."""
        if not self.per_minute:
            return
        with self._lock:
            at_s = max(self._next_s, time.monotonic())
            self._next_s = at_s + 60.0 / self.per_minute
        if self.stopped.wait(max(at_s - time.monotonic(), 0.0)):
            raise EndpointError("stopped")

    def _try(self, data: bytes) -> dict[str, Any]:
        try:
            status, headers, reply = self._exchange(data, time.monotonic() + self.timeout_s)
        except FetchError as error:
            raise EndpointError(f"--endpoint: {error}") from error
        except ssl.SSLCertVerificationError as error:
            raise EndpointError(f"{self.address}: its certificate is not valid: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            self._close()
            raise _Transient(f"{type(error).__name__}: {error}") from error
        if status in BUSY:
            raise _Transient(f"HTTP {status} {self._shown(reply)}", self._asked_wait(headers))
        body = _json(reply)
        if status != 200:
            detail = body.get("error") if isinstance(body, dict) else None
            code = str(detail.get("code") or "") if isinstance(detail, dict) else ""
            raise EndpointError(f"{self.address}: HTTP {status} {self._shown(reply)}", status, code)
        if not isinstance(body, dict):
            raise _Transient(f"the reply is no JSON object: {self._shown(reply)}")
        return body

    def _exchange(self, data: bytes, deadline: float) -> tuple[int, Mapping[str, str], bytes]:
        """One request over this thread's connection, which is kept open where the server allows."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            # Over http the name is checked to be the address connected to; https goes through a proxy if set.
            plainly = self._parts.scheme == "http"
            connection = open_connection(self._parts, self.timeout_s, plainly, ANYWHERE if plainly else ())
            self._local.connection = connection
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        path = self._parts.path + (f"?{self._parts.query}" if self._parts.query else "")
        connection.request("POST", path, data, headers)
        with connection.getresponse() as response:
            received = b""
            while chunk := response.read1(CHUNK):
                received += chunk
                if len(received) > MAX_REPLY_BYTES:
                    raise http.client.HTTPException(f"a reply of more than {MAX_REPLY_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no whole reply within {self.timeout_s:g} s")
            if response.will_close:
                self._close()
            return response.status, dict(response.headers.items()), received

    def _close(self) -> None:
        if (connection := getattr(self._local, "connection", None)) is not None:
            connection.close()
            self._local.connection = None

    def _asked_wait(self, headers: Mapping[str, str]) -> float | None:
        """Seconds that Retry-After asks for, as a number or a date; None without."""
        value = next((text for name, text in headers.items() if name.lower() == "retry-after"), "")
        try:
            wait_s = float(value)
        except ValueError:
            try:
                wait_s = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except ValueError:
                return None
        if not wait_s <= LONGEST_ASKED_S:  # also for what is no number
            raise EndpointError(
                f"{self.address}: asks to come back in {wait_s:.0f} s; run the same command then: it goes on"
            )
        return max(wait_s, 0.0)

    def _shown(self, reply: bytes) -> str:
        text = " ".join(plain(reply[:MAX_REPLY_BYTES].decode("utf-8", "replace")).split())
        return (text.replace(self.key, "***") if self.key else text)[:SHOWN]


def _json(reply: bytes) -> Any:
    """The JSON of a reply; None for what is none."""
    try:
        return json.loads(reply)
    except (ValueError, RecursionError):
        return None
