"""One thread runs the model; requests wait in line for it and leave in batches of equal settings.

The line is bounded by who lets requests in (`shield.Shield`), so nothing here blocks or refuses.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Emit = Callable[["Ticket", Any], None]  # hands a part of an answer to the waiting request
Run = Callable[[Sequence["Ticket"], Emit], list[Any]]  # results of a batch, one a ticket


FILL_S = 0.005  # a batch costs the same whatever it holds, so it waits this long for rows on their way


class Ticket:
    """A row in the line. Tickets with the same `key` may share a batch.

    `dropped` is set by the request when it no longer waits; the worker then spends no more on it. `parts`
    gets what the worker emits while it works, and None at the end; `done` the result or the error.
    """

    def __init__(self, key: Hashable, row: Any, stream: bool = False) -> None:
        self.key, self.row, self.dropped = key, row, False
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = self.loop.create_future()
        self.parts: asyncio.Queue[Any] | None = asyncio.Queue() if stream else None


class Worker:
    """The line and its thread. `close` lets the line run dry."""

    def __init__(self, run: Run, batch: int) -> None:
        self._run, self._batch = run, batch
        self._line: deque[Ticket] = deque()
        self._coming = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """While a request is being prepared that will put a ticket."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def put(self, ticket: Ticket) -> Ticket:
        with self._changed:
            assert not self._closed
            self._line.append(ticket)
            self._changed.notify()
        return ticket

    def __len__(self) -> int:
        return len(self._line)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._line and not self._closed:
                    self._changed.wait()
                end = time.monotonic() + FILL_S
                while len(self._line) < self._batch and self._coming and not self._closed:
                    if (left_s := end - time.monotonic()) <= 0:
                        break
                    self._changed.wait(left_s)
                batch = self._take()
            if batch:
                self._serve(batch)
            elif self._closed:
                return

    def _take(self) -> list[Ticket]:
        """The first ticket and those behind it that may share its batch; dropped ones leave the line."""
        taken: list[Ticket] = []
        kept: deque[Ticket] = deque()
        while self._line and len(taken) < self._batch:
            ticket = self._line.popleft()
            if ticket.dropped:
                continue
            (taken if not taken or ticket.key == taken[0].key else kept).append(ticket)
        self._line.extendleft(reversed(kept))
        return taken

    def _serve(self, batch: list[Ticket]) -> None:
        try:
            results: list[Any] = self._run(batch, _emit)
        except Exception as error:  # whatever it is, these requests must be answered and the thread live on
            results = [error] * len(batch)
        loops = {ticket.loop for ticket in batch}
        for loop in loops:
            pairs = [pair for pair in zip(batch, results, strict=True) if pair[0].loop is loop]
            _call(loop, _settle, pairs)


def _emit(ticket: Ticket, part: Any) -> None:
    if ticket.parts is not None:
        _call(ticket.loop, ticket.parts.put_nowait, part)


def _settle(pairs: list[tuple[Ticket, Any]]) -> None:
    for ticket, result in pairs:
        if not ticket.done.done():
            if isinstance(result, Exception):
                ticket.done.set_exception(result)
                ticket.done.exception()  # a request that left reads it no more: that is no leak to warn about
            else:
                ticket.done.set_result(result)
        if ticket.parts is not None:
            ticket.parts.put_nowait(None)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *values: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *values)
    except RuntimeError:  # the loop is closed: nobody waits any more
        pass
