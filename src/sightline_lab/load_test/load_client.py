"""A cheap HTTP/1.1 client, so that one core loads a server: bodies are encoded beforehand and connections are
kept. Closed loops measure the capacity of a server, open loops the latency for its users.

Latencies count from the moment a request was due, not from when it was sent, so that a client or a server
that falls behind cannot hide it (coordinated omission; Tene, "How NOT to Measure Latency", 2015).
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

HUNG_S = 60.0  # a request without an answer for so long counts as hung
HUNG, BROKEN = 0, -1  # instead of a status: no answer in time, and a failed connection


@dataclass
class LoadResult:
    """Answers in the order of arrival: status, milliseconds, and the body where it was kept. `late_ms`: how
    late each request left; `seconds`: from first to last."""

    statuses: list[int] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, status: int) -> int:
        return self.statuses.count(status)

    def percentile(self, percent: float, status: int = 200) -> float | None:
        """Of the milliseconds of the answers with a status; None where there is none."""
        selected = [ms for ms, one in zip(self.ms, self.statuses, strict=True) if one == status]
        return float(np.percentile(selected, percent)) if selected else None


class Pool:
    """Kept connections to one server; as many as there are requests under way. By https its certificate is
    believed: the server is this machine's."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname, parts.port
        self._tls = ssl._create_unverified_context() if parts.scheme == "https" else None
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; HUNG or BROKEN where none came."""
        pair = None
        try:
            async with asyncio.timeout(HUNG_S):
                pair = self._kept() or await self._opened()
                pair[1].write(request)
                status, body, kept = await _answer(pair[0])
        except TimeoutError:
            status, body, kept = HUNG, b"", False
        except (OSError, asyncio.IncompleteReadError, ValueError):
            status, body, kept = BROKEN, b"", False
        if kept:
            self._idle.append(pair)
        elif pair:
            pair[1].close()
        return status, body

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The connection last used that the server has not closed since, as it may with idle ones."""
        while self._idle:
            pair = self._idle.pop()
            if not pair[0].at_eof():
                return pair
            pair[1].close()
        return None

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, ssl=self._tls)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    length = head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]
    if not length:
        raise ValueError("an answer without a length")
    if status == 429 and b"\r\nretry-after:" not in head:
        raise ValueError("a refusal that does not say when to come back")
    return status, await reader.readexactly(int(length)), b"\r\nconnection: close" not in head


def post(path: str, body: bytes) -> bytes:
    """The bytes of a request."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def closed_loop(address: str, requests: Sequence[bytes], clients: int, seconds: float) -> LoadResult:
    """`clients` ask one request after the other, taken in turn from the list, for so many seconds."""
    end = time.perf_counter() + seconds
    return until(address, requests, clients, lambda asked: time.perf_counter() >= end)


def until(address: str, requests: Sequence[bytes], clients: int, over: Callable[[int], bool]) -> LoadResult:
    """The same until `over`, which is told how many were asked."""

    async def main(pool: Pool, result: LoadResult) -> None:
        begun, number = time.perf_counter(), iter(range(10**9))

        async def client() -> None:
            while not over(len(result.late_ms)):
                await _timed(pool, result, requests, next(number), time.perf_counter())

        await asyncio.gather(*(client() for _ in range(clients)))
        result.seconds = time.perf_counter() - begun

    return _run(address, main)


def open_loop(address: str, requests: Sequence[bytes], rate: float, seconds: float, seed: int) -> LoadResult:
    """Requests arrive at random moments (Poisson), `rate` a second, whether earlier ones are answered or
    not."""
    draw = np.random.default_rng(seed)
    due_N = np.cumsum(draw.exponential(1 / rate, size=max(1, round(rate * seconds))))

    async def main(pool: Pool, result: LoadResult) -> None:
        begun, tasks = time.perf_counter(), []
        for number, due in enumerate(due_N + begun):
            while (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.ensure_future(_timed(pool, result, requests, number, due)))
            if number % 16 == 15:
                await asyncio.sleep(0)  # even a client that is behind reads what came
        await asyncio.gather(*tasks)
        result.seconds = time.perf_counter() - begun

    return _run(address, main)


def once_each(address: str, requests: Sequence[bytes], clients: int) -> LoadResult:
    """Every request once, `clients` at a time, with the bodies of the answers by the requests' indices."""

    async def main(pool: Pool, result: LoadResult) -> None:
        begun, number = time.perf_counter(), iter(range(len(requests)))

        async def client() -> None:
            for index in number:
                result.bodies[index] = await _timed(pool, result, requests, index, time.perf_counter())

        await asyncio.gather(*(client() for _ in range(clients)))
        result.seconds = time.perf_counter() - begun

    return _run(address, main)


async def _timed(pool: Pool, result: LoadResult, requests: Sequence[bytes], number: int, due: float) -> bytes:
    result.late_ms.append(1000 * (time.perf_counter() - due))
    status, body = await pool.send(requests[number % len(requests)])
    result.statuses.append(status)
    result.ms.append(1000 * (time.perf_counter() - due))
    return body


def _run(address: str, main: Callable[[Pool, LoadResult], Awaitable[None]]) -> LoadResult:
    result = LoadResult()

    async def whole() -> None:
        pool = Pool(address)
        try:
            await main(pool, result)
        finally:
            pool.close()

    try:
        from uvloop import run
    except ModuleNotFoundError:  # where there is none, on Windows
        from asyncio import run
    run(whole())
    return result
