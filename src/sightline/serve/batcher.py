"""Dynamic batching: one thread runs the model; requests wait in a queue for it and leave in batches of equal
settings. Before it, a few threads prepare the model's inputs: they decode pictures.

A request goes from preparation to the queue without passing the event loop, which so wakes once for a whole
batch. `middleware.RequestMiddleware` bounds the queue, so nothing here blocks or refuses.
"""

import asyncio
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from queue import SimpleQueue
from typing import Any

Emit = Callable[["Ticket", Any], None]  # sends a part of an answer to the waiting request
Run = Callable[[Sequence["Ticket"], Emit], list[Any]]  # results of a batch, one a ticket

NICE = 3  # levels below the event loop, which goes first on a full core; many more would starve


class Ticket:
    """A row in the queue, or `prepare`, which makes it. Tickets with the same `key` may share a batch.

    `dropped` is set by the request when it no longer waits; the worker then spends no more on it. `parts`
    gets what the worker emits while it works, and None at the end; `done` the result or the error.
    """

    def __init__(
        self, key: Hashable, row: Any = None, prepare: Callable[[], Any] | None = None, stream: bool = False
    ) -> None:
        self.key, self.row, self.prepare, self.dropped = key, row, prepare, False
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = self.loop.create_future()
        self.parts: asyncio.Queue[Any] | None = asyncio.Queue() if stream else None


class Worker:
    """The queue and its threads. A batch costs the same whatever it holds, so it waits `fill_s` for rows that
    the `preparers`, so many threads, have. `close` returns once the queue is empty."""

    def __init__(self, run: Run, batch: int, fill_s: float, preparers: int) -> None:
        self._run, self._batch, self._fill_s = run, batch, fill_s
        self._raw: SimpleQueue[Ticket | None] = SimpleQueue()
        self._queue: deque[Ticket] = deque()
        self._preparing = 0  # tickets that the preparers have
        self._changed = threading.Condition()
        self._closed = False
        self._preparers = [
            threading.Thread(target=self._prepare, name="prepare", daemon=True) for _ in range(preparers)
        ]
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        for thread in (*self._preparers, self._thread):
            thread.start()

    def put(self, ticket: Ticket) -> Ticket:
        with self._changed:
            assert not self._closed
            if ticket.prepare:
                self._preparing += 1
            else:
                self._queue.append(ticket)
                self._changed.notify()
        if ticket.prepare:
            self._raw.put(ticket)
        return ticket

    def __len__(self) -> int:
        return len(self._queue)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        for _ in self._preparers:
            self._raw.put(None)
        for thread in (*self._preparers, self._thread):
            thread.join()

    def _prepare(self) -> None:
        """A preparer: a ticket that fails gets the error and never joins the queue."""
        _lower_priority()
        while (ticket := self._raw.get()) is not None:
            failed = None
            try:
                if ticket.prepare and not ticket.dropped:
                    ticket.row = ticket.prepare()
            except Exception as error:
                failed = error
            with self._changed:
                self._preparing -= 1
                if not (failed or ticket.dropped):
                    self._queue.append(ticket)
                # The model waits for the first of a batch, then for a full batch or all in preparation.
                if len(self._queue) in (1, self._batch) or not self._preparing:
                    self._changed.notify()
            if failed:
                _call(ticket.loop, _settle, [(ticket, failed)])

    def _work(self) -> None:
        _lower_priority()
        while True:
            with self._changed:
                while not self._queue and (self._preparing or not self._closed):
                    self._changed.wait()
                end = time.monotonic() + self._fill_s
                while len(self._queue) < self._batch and self._preparing and not self._closed:
                    if (left_s := end - time.monotonic()) <= 0:
                        break
                    self._changed.wait(left_s)
                batch = self._take()
            if batch:
                self._serve(batch)
            elif self._closed and not self._preparing:
                return

    def _take(self) -> list[Ticket]:
        """The first ticket and those behind it that may share its batch; dropped ones leave the queue."""
        taken: list[Ticket] = []
        kept: deque[Ticket] = deque()
        while self._queue and len(taken) < self._batch:
            ticket = self._queue.popleft()
            if ticket.dropped:
                continue
            (taken if not taken or ticket.key == taken[0].key else kept).append(ticket)
        self._queue.extendleft(reversed(kept))
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


def _lower_priority() -> None:
    if sys.platform == "linux":  # elsewhere a thread has no level of its own
        level = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), level + NICE)


def _emit(ticket: Ticket, part: Any) -> None:
    if ticket.parts is not None:
        _call(ticket.loop, ticket.parts.put_nowait, part)


def _settle(pairs: list[tuple[Ticket, Any]]) -> None:
    for ticket, result in pairs:
        if not ticket.done.done():
            if isinstance(result, Exception):
                ticket.done.set_exception(result)
                ticket.done.exception()  # a request that left never reads it, which is no leak to warn about
            else:
                ticket.done.set_result(result)
        if ticket.parts is not None:
            ticket.parts.put_nowait(None)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *values: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *values)
    except RuntimeError:  # the loop is closed: nothing waits any more
        pass
