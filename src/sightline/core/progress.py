"""Progress of a long step: a bar on a terminal, elsewhere a plain line now and then.

Lines come from a thread of their own, so a step that is busy with one piece of work still prints that it is
alive. Results do not depend on it. rich is imported where a bar is drawn; nothing else pays for it.
"""

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

LINE_S = 15.0  # between two plain lines, and before the first
T = TypeVar("T")


class Step:
    """A step under way: `done` of `total` pieces (None: unknown), and a note."""

    def __init__(self, name: str, total: int | None, done: int = 0) -> None:
        self.name, self.total, self.done, self.note = name, total, done, ""
        self.on_change: Callable[[], None] | None = None
        self._first, self._started = done, time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self.note = note or self.note
        if self.on_change is not None:
            self.on_change()

    def line(self) -> str:
        """Name, count, note, time so far and the time that is left at this speed."""
        seconds, new = time.monotonic() - self._started, self.done - self._first
        count = f" {self.done}/{self.total}" if self.total is not None else f" {self.done}" * bool(self.done)
        parts = [self.name + count]
        parts += [self.note] if self.note else []
        parts.append(f"{_clock(seconds)} so far")
        if self.total is not None and new > 0:
            parts.append(f"about {_clock(seconds / new * (self.total - self.done))} left")
        return ", ".join(parts)


@contextmanager
def step(name: str, total: int | None = None, done: int = 0) -> Iterator[Step]:
    """Show the step while the block runs. Only the first rank does, in its main thread: other
    threads and processes work on parts of a step that is already displayed."""
    from sightline.core import runtime  # asking imports this module, and needs no parameters

    current, helper = Step(name, total, done), multiprocessing.parent_process() is not None
    if helper or not runtime.is_main_rank() or threading.current_thread() is not threading.main_thread():
        yield current
        return
    stream = sys.stdout if runtime.stage_name() else sys.stderr
    show = _bar if sys.stdout.isatty() and stream.isatty() else _lines
    with show(current, stream):
        yield current


def track(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """The items, one by one, with their progress shown; `total` where they have no length."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with step(name, total) as current:
        for item in items:
            yield item
            current.advance()


@contextmanager
def _lines(current: Step, stream: TextIO) -> Iterator[None]:
    from sightline.core import runtime

    over = threading.Event()
    prefix = runtime.stage_name() or "sightline"

    def run() -> None:
        while not over.wait(LINE_S):
            print(f"{prefix}: {current.line()}", file=stream, flush=True)

    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


_open: list[Any] = []  # the one rich.progress.Progress that is drawn; a step inside a step is a row of it


@contextmanager
def _bar(current: Step, stream: TextIO) -> Iterator[None]:
    if _open:
        with _row(_open[0], current):
            yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        _open.append(progress)
        try:
            with _row(progress, current):
                yield
        finally:
            _open.clear()


@contextmanager
def _row(progress: Any, current: Step) -> Iterator[None]:
    """A row of the bars that follows the step."""
    row = progress.add_task(current.name, total=current.total, completed=current.done, note=current.note)
    current.on_change = lambda: progress.update(row, completed=current.done, note=current.note)
    try:
        yield
    finally:
        progress.remove_task(row)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
