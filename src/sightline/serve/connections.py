"""Limits below HTTP: how many connections there are, what may be sent without an end, how long each part of
an exchange may take. uvicorn's own protocol has none of them.
"""

import asyncio
import ipaddress
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from sightline.serve.api_error import ApiError
from sightline.serve.deploy.deployment import Limits
from sightline.serve.prometheus import Metrics

PIECE = 8192  # bytes that are parsed at once: what a limit may be passed by
LINGER_S = 2.0  # for a client that is answered before its body is whole to read that, and to end it
BODY_S = 1.0  # after the middleware's own limit for a body, which answers 408
SITE_BITS = 64  # of an IPv6 address: who has one has all that begin with them

MANY = ApiError(503, "too many connections; try again", "too_many_connections", retry_s=1)
LARGE_HEAD = ApiError(431, "the headers are too long", "headers_too_large")
SLOW_HEAD = ApiError(408, "the headers came too slowly", "timeout")
MALFORMED = ApiError(400, "expected a request in HTTP/1.1", "malformed_request")


class Connections:
    """All connections of one server. Beyond a limit the one that has waited longest without a request makes
    room; where every one has a request, the newcomer is refused. Those of `proxies` (addresses or networks)
    have the limit of all connections only."""

    def __init__(self, limits: Limits, metrics: Metrics, proxies: Sequence[str] = ()) -> None:
        self.limits, self._metrics = limits, metrics
        self._proxies = [ipaddress.ip_network(one) for one in proxies]
        self._open: dict[Connection, None] = {}
        self._of_peer: Counter[str] = Counter()
        self._seconds = {
            "head": limits.header_s, "body": limits.timeout_s + BODY_S, "linger": LINGER_S,
            "idle": float(limits.idle_s), "answer": float("inf"),
        }  # fmt: skip
        metrics.connections.set_function(lambda: len(self._open))

    @property
    def unsent(self) -> bool:
        """Whether a client has still to read of its answer."""
        return any(connection.unsent for connection in self._open)

    def enter(self, connection: "Connection") -> bool:
        """Count a new connection; False where there is no room for it."""
        limits, peer = self.limits, connection.peer
        if not self._is_proxy(connection) and self._of_peer[peer] >= limits.peer_connections:
            crowd = [one for one in self._open if one.peer == peer]
        elif len(self._open) >= limits.connections:
            crowd = list(self._open)
        else:
            crowd = []
        if crowd:
            waiting = [one for one in crowd if one.stage in ("head", "idle")]
            if not waiting:
                self.refused("connections")
                return False
            self._close(min(waiting, key=lambda one: one.since), "connections")
        self._open[connection] = None
        self._of_peer[peer] += 1
        return True

    def _is_proxy(self, connection: "Connection") -> bool:
        """Whether it comes from a proxy that is believed: its clients are many addresses."""
        try:
            address = ipaddress.ip_address(connection.host)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)

    def leave(self, connection: "Connection") -> None:
        if connection in self._open:
            del self._open[connection]
            self._of_peer[connection.peer] -= 1
            if not self._of_peer[connection.peer]:
                del self._of_peer[connection.peer]

    def sweep(self) -> None:
        """Close whatever has taken too long; called at every tick of the server."""
        now = time.monotonic()
        for connection in list(self._open):
            if connection.unread_for(now) > self.limits.write_s:
                self._close(connection, "write_time")
            elif now - connection.since > self._seconds[connection.stage]:
                if connection.stage == "head" and connection.begun:
                    self.refused("header_time")
                    connection.refuse(SLOW_HEAD)
                else:
                    self._close(connection, f"{connection.stage}_time")

    def refused(self, why: str) -> None:
        self._metrics.refused_connections.labels(why).inc()

    def _close(self, connection: "Connection", why: str) -> None:
        self.refused(why)
        self.leave(connection)
        connection.transport.abort()


class Connection(HttpToolsProtocol):
    """A connection of uvicorn that keeps to the limits.

    stage: what it is in since `since`: "head" until the headers of a request are whole, "body", "answer"
    until that is made, "linger" where it was made before the body was whole, "idle" between two requests.
    begun: whether a byte of a request has come.
    """

    def __init__(self, all_connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._all = all_connections
        self.host, self.peer = "", ""
        self.stage, self.since, self.begun = "head", time.monotonic(), False
        self._useless = 0  # bytes since the last end of headers or byte of a body
        self._unread_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.host = self.client[0] if self.client else ""
        self.peer = peer_of(self.host)
        if not self._all.enter(self):
            self.refuse(MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            if self.transport.is_closing():
                return
            piece = data[start : start + PIECE]
            self._useless += len(piece)
            super().data_received(piece)
            if self._useless > self._all.limits.header_bytes and not self.transport.is_closing():
                self._all.refused("header_bytes")
                self.refuse(LARGE_HEAD)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.begun = True
        if self.stage == "idle":
            self._enter("head")

    def on_headers_complete(self) -> None:
        self._useless = 0
        self._enter("body")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._useless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._enter("idle" if self.cycle.response_complete else "answer")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # else the next of several requests is being answered
            self._enter("linger" if self.cycle.more_body else "idle")

    @property
    def unsent(self) -> bool:
        return bool(self.transport.get_write_buffer_size())

    def unread_for(self, now: float) -> float:
        """Seconds for which the client has had something to read."""
        if not self.unsent:
            self._unread_since = None
            return 0.0
        if self._unread_since is None:
            self._unread_since = now
        return now - self._unread_since

    def send_400_response(self, msg: str) -> None:
        self._all.refused("malformed")
        self.refuse(MALFORMED)

    def refuse(self, error: ApiError) -> None:
        """Answer with an error, unless half an answer is out already, and close."""
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps(error.body()).encode()
            lines = [b"content-type: application/json\r\n", b"content-length: %d\r\n" % len(body)]
            if error.retry_s is not None:
                lines.append(b"retry-after: %d\r\n" % error.retry_s)
            head = b"".join([STATUS_LINE[error.status], *lines, b"connection: close\r\n\r\n"])
            self.transport.write(head + body)
        self.transport.close()

    def _enter(self, stage: str) -> None:
        self.stage, self.since = stage, time.monotonic()


def peer_of(host: str) -> str:
    """Whom a connection counts for: an IPv4 address, the network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, SITE_BITS), strict=False))
