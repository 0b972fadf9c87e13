"""Row 16: raw connections that say too much, too slowly, nothing or nonsense, or never read."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from sightline_lab.faults.battery import Broken, Case, Missing, Promise
from sightline_lab.faults.served_bundle import Served
from sightline_lab.load_test import load_client, server_process

# Shorter than a server has by default, so that a case takes a second; the numbers are its own.
LIMITS = {"header_s": 1.0, "idle_s": 1, "write_s": 1.0, "timeout_s": 2.0}
PATIENCE_S = 30.0  # for what the server does after a second or two
GROWTH = 32 << 20  # bytes of memory that a case may cost the server
TAKEN = 24 << 20  # bytes of a body or header that may be taken: the largest body, and what the system holds
PIECE = 1 << 16
HOST = b"Host: localhost\r\n"
JSON = HOST + b"Content-Type: application/json\r\n"
SEARCH = json.dumps({"text": "a red ball"}).encode()
HONEST = load_client.post("/search", SEARCH)
Pieces = Iterator[bytes]


@dataclass(frozen=True)
class Target:
    """The server, and how much memory it had."""

    served: Served
    memory: server_process.Memory


def prepare(scratch: Path) -> Target:
    served = Served(**LIMITS)
    try:
        load_client.once_each(served.address, [HONEST] * 64, 8)
        return Target(served, server_process.Memory(served.pid))
    except server_process.LoadError as error:
        served.close()
        raise Missing(str(error)) from error


def finish(target: Target) -> None:
    target.served.close()


class Neighbour(threading.Thread):
    """An honest client beside the others: what its requests were answered."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address, self._over = address, threading.Event()
        self.statuses: list[int] = []

    def run(self) -> None:
        while not self._over.is_set():
            self.statuses += load_client.once_each(self._address, [HONEST], 1).statuses

    def end(self) -> set[int]:
        self._over.set()
        self.join(2 * load_client.HUNG_S)
        return set(self.statuses)


def case(case: Case) -> int:
    """One abuse while an honest client asks; afterwards nothing of it is left."""
    form, target = list(FORMS)[case.index % len(FORMS)], case.prepared
    neighbour = Neighbour(target.served.address)
    neighbour.start()
    try:
        FORMS[form](target.served.address, case.rng)
    except Broken as broken:
        raise Broken(f"{form}: {broken}") from broken
    finally:
        statuses = neighbour.end()
    if statuses != {200}:
        raise Broken(f"{form}: an honest client was answered {sorted(statuses)} meanwhile")
    if target.memory.grown > GROWTH:
        raise Broken(f"{form}: the server has grown by {target.memory.grown >> 20} MiB")
    end = time.monotonic() + PATIENCE_S
    while _figure(target.served.address, b"sightline_requests_inside") or _figure(
        target.served.address, b"sightline_connections") > 1:  # fmt: skip
        if time.monotonic() > end:
            raise Broken(f"{form}: a place or a connection is kept after everybody has left")
        time.sleep(0.1)
    return 1


def _figure(address: str, name: bytes) -> float:
    with _open(address) as link:
        link.sendall(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
        lines = _rest(link).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name + b" "))


def _open(address: str, unread: bool = False) -> socket.socket:
    parts, link = urlsplit(address), socket.socket()
    link.settimeout(PATIENCE_S)
    if unread:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.connect((parts.hostname, parts.port))
    return link


def _rest(link: socket.socket) -> bytes:
    """All that comes until the server closes. Raises Broken where it does not."""
    got = b""
    try:
        while more := link.recv(PIECE):
            got += more
    except TimeoutError:
        raise Broken(f"the server keeps a connection for {PATIENCE_S:g} s; it said {got[:200]!r}") from None
    except ConnectionError:
        pass
    return got


def _sent(address: str, begin: bytes, pieces: Pieces, *allowed: int) -> None:
    """Send until the server closes or the pieces end; its answer, if any, has one of the statuses."""
    sent = len(begin)
    with _open(address) as link:
        try:
            link.sendall(begin)
            for piece in pieces:
                link.sendall(piece)
                sent += len(piece)
                if sent > TAKEN:
                    raise Broken(f"{sent >> 20} MiB were taken")
        except TimeoutError:
            raise Broken(f"after {sent} bytes the server neither reads nor closes") from None
        except ConnectionError:
            pass
        got = _rest(link)
    if got and int(got.split()[1]) not in allowed:
        raise Broken(f"answered {got[:100]!r}, expected {allowed}")


def _forever(piece: bytes) -> Pieces:
    while True:
        yield piece


def _drops(piece: bytes, wait_s: float) -> Pieces:
    for _ in range(int(PATIENCE_S / wait_s)):
        time.sleep(wait_s)
        yield piece


def _long_header(address: str, rng: np.random.Generator) -> None:
    begin = b"GET /live HTTP/1.1\r\n" + HOST + (b"X: " if rng.random() < 0.5 else b"")
    _sent(address, begin, _forever(b"a" * int(rng.integers(1, PIECE))), 400, 431)


def _many_headers(address: str, rng: np.random.Generator) -> None:
    lines = b"".join(b"X-%d: a\r\n" % number for number in rng.integers(0, 10**6, 500))
    _sent(address, b"GET /live HTTP/1.1\r\n" + HOST, _forever(lines), 431)


def _long_target(address: str, rng: np.random.Generator) -> None:
    begin = rng.choice([b"GET /", b"GET /live?", b"GET http://localhost/"])
    _sent(address, bytes(begin), _forever(b"a" * int(rng.integers(1, PIECE))), 400, 431)


def _chunks(address: str, rng: np.random.Generator) -> None:
    """Ten gigabytes, were they read."""
    data = rng.bytes(int(rng.integers(PIECE // 2, PIECE)))
    begin = b"POST /search HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + JSON + b"\r\n"
    chunk = b"%x\r\n" % len(data) + data + b"\r\n"
    with _open(address) as link:
        link.sendall(begin)
        got, end = b"", time.monotonic() + PATIENCE_S
        link.settimeout(0.01)
        while time.monotonic() < end and b"\r\n\r\n" not in got:
            try:
                link.sendall(chunk)
            except TimeoutError:
                break  # the chunk is cut, the server reads no more of it
            except ConnectionError:
                break
            try:
                got += link.recv(PIECE)
            except (TimeoutError, ConnectionError):
                pass
        link.settimeout(PATIENCE_S)
        got += _rest(link)
    if got and int(got.split()[1]) not in (400, 408, 413, 429):
        raise Broken(f"answered {got[:100]!r}")


def _trailers(address: str, rng: np.random.Generator) -> None:
    begin = b"POST /search HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + JSON + b"\r\n"
    begin += bytes(rng.choice([b"0\r\n", b"0\r\nX: ", b"1;x=", b"000"]))
    piece = bytes(rng.choice([b"X: a\r\n" * 100, b"a" * 999, b"0" * 999]))
    _sent(address, begin, _forever(piece), 400, 408, 431)


def _announced(address: str, rng: np.random.Generator) -> None:
    """A length that the body does not have."""
    length = int(rng.choice([-1, 0, 1, 10, 10**6, 10**10, 2**63, 2**64]))
    begin = b"POST /search HTTP/1.1\r\nContent-Length: %d\r\n" % length + JSON + b"\r\n" + SEARCH
    _sent(address, begin, iter(()), 200, 400, 408, 413)


def _slow_headers(address: str, rng: np.random.Generator) -> None:
    _sent(address, b"GET /live HTTP/1.1\r\n", _drops(b"X: a\r\n", float(rng.uniform(0.02, 0.4))), 408)


def _slow_body(address: str, rng: np.random.Generator) -> None:
    begin = b"POST /search HTTP/1.1\r\nContent-Length: 100000\r\n" + JSON + b"\r\n"
    _sent(address, begin, _drops(b" ", float(rng.uniform(0.02, 0.4))), 408)


def _crowd(address: str, begin: bytes, count: int) -> None:
    """Connections that say so much, and no more; all are closed by the server."""
    with ExitStack() as stack:
        links = []
        for _ in range(count):
            links.append(stack.enter_context(_open(address)))
            try:
                links[-1].sendall(begin)
            except ConnectionError:
                pass
        for link in links:
            _rest(link)


def _silent_crowd(address: str, rng: np.random.Generator) -> None:
    _crowd(address, b"", int(rng.integers(300, 600)))


def _crowd_of_headers(address: str, rng: np.random.Generator) -> None:
    _crowd(address, b"GET /live HTTP/1.1\r\nHo", int(rng.integers(300, 600)))


def _crowd_of_bodies(address: str, rng: np.random.Generator) -> None:
    """Fewer than there may be connections of one address: each of them has a request."""
    begin = b"POST /search HTTP/1.1\r\nContent-Length: 1000\r\n" + JSON + b"\r\n{"
    _crowd(address, begin, int(rng.integers(100, 200)))


def _unread(address: str, rng: np.random.Generator) -> None:
    """Clients that ask for much and read nothing."""
    head = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
    with ExitStack() as stack:
        links = [stack.enter_context(_open(address, unread=True)) for _ in range(int(rng.integers(2, 6)))]
        for link in links:
            link.settimeout(PATIENCE_S)
            try:
                for _ in range(10):
                    link.sendall(head * 100)
            except ConnectionError:
                pass
            except TimeoutError:
                raise Broken("a client that reads nothing is kept") from None
        end = time.monotonic() + PATIENCE_S
        while _figure(address, b"sightline_connections") > 2:  # this one and the neighbour
            if time.monotonic() > end:
                raise Broken("clients that read nothing are kept")
            time.sleep(0.1)


def _pipelined(address: str, rng: np.random.Generator) -> None:
    count = int(rng.integers(2, 50))
    with _open(address) as link:
        link.sendall(HONEST * count)
        got = _rest(link)
    if got.count(b"HTTP/1.1 200") != count:
        raise Broken(f"{got.count(b'HTTP/1.1 200')} answers to {count} requests of one connection")


def _leaving(address: str, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 100))):
        with _open(address) as link:
            link.sendall(HONEST[: int(rng.integers(1, len(HONEST) + 1))])


def _encoded(address: str, rng: np.random.Generator) -> None:
    """Bodies in forms that are not read."""
    body, kind, status = [
        (gzip.compress(bytes(10**7)), b"Content-Encoding: gzip\r\nContent-Type: application/json", 400),
        (b"--x\r\n\r\na\r\n" * 10**5 + b"--x--", b"Content-Type: multipart/form-data; boundary=x", 415),
        (b"a=1&" * 10**5, b"Content-Type: application/x-www-form-urlencoded", 415),
    ][int(rng.integers(0, 3))]
    begin = b"POST /search HTTP/1.1\r\nContent-Length: %d\r\n" % len(body) + HOST + kind + b"\r\n\r\n"
    _sent(address, begin, iter([body]), status)


def _hosts(address: str, rng: np.random.Generator) -> None:
    hosts = [b"", HOST * 2, b"Host: a\r\n" + HOST, HOST + b"Host: a\r\n", b"Host: \r\n"]
    begin = b"GET /live HTTP/1.1\r\nConnection: close\r\n" + bytes(hosts[int(rng.integers(len(hosts)))])
    _sent(address, begin + b"\r\n", iter(()), 400, 403)


def _garbage(address: str, rng: np.random.Generator) -> None:
    _sent(address, b"\x16\x03" + rng.bytes(int(rng.integers(1, 5000))) + b"\r\n\r\n", iter(()), 400, 408)


FORMS: dict[str, Callable[[str, np.random.Generator], None]] = {
    "a long header": _long_header, "many headers": _many_headers, "a long target": _long_target,
    "an endless body": _chunks, "endless trailers": _trailers, "a lying length": _announced,
    "slow headers": _slow_headers, "a slow body": _slow_body, "silent connections": _silent_crowd,
    "half headers": _crowd_of_headers, "half bodies": _crowd_of_bodies, "unread answers": _unread,
    "pipelining": _pipelined, "clients that leave": _leaving, "other encodings": _encoded, "hosts": _hosts,
    "garbage": _garbage,
}  # fmt: skip

PROMISE = Promise(
    16, "Abused connections", "Headers, bodies and connections without an end, too slow or unread are ended; "
    f"honest requests are answered meanwhile, the server grows by at most {GROWTH >> 20} MiB and keeps no "
    "place and no connection.", "abuses", 17, 3000, case, prepare, finish=finish,
)  # fmt: skip
