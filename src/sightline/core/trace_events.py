"""Traces in Chrome's format, which Perfetto opens: spans of our own, their self times, the file.

Times are microseconds. A span is a stretch of time in a thread; spans of one thread lie inside each other or
apart. Its self time is what remains without the spans inside it, so self times of a thread add up to the time
of its outermost spans.
"""

import gzip
import json
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

from sightline.core.atomic_io import write_bytes

FILE = "trace.json.gz"
Event = dict[str, Any]
Interval = tuple[float, float]


class Span(NamedTuple):
    """`kind` is the event's category: whose span it is."""

    name: str
    kind: str
    start: float
    end: float
    thread: int

    @property
    def us(self) -> float:
        return self.end - self.start


class Recorder:
    """Spans of this process, from any of its threads."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        """clock: nanoseconds."""
        self.spans: list[Span] = []
        self._clock = clock

    @contextmanager
    def span(self, name: str, kind: str = "phase") -> Iterator[None]:
        start = self._clock()
        try:
            yield
        finally:
            thread = threading.get_native_id()
            self.spans.append(Span(name, kind, start / 1e3, self._clock() / 1e3, thread))

    @contextmanager
    def watching(self, calls: Iterable[tuple[type, str, str]], kind: str = "phase") -> Iterator[None]:
        """Meanwhile, each call of (class, a method that it defines, name) is a span of that name."""
        with ExitStack() as restored:
            for owner, method, name in calls:
                original = owner.__dict__[method]
                setattr(owner, method, self._spanned(original, name, kind))
                restored.callback(setattr, owner, method, original)
            yield

    def _spanned(self, call: Any, name: str, kind: str) -> Callable[..., Any]:
        @wraps(call)
        def spanned(*values: Any, **named: Any) -> Any:
            with self.span(name, kind):
                return call(*values, **named)

        return spanned


def of_events(events: Iterable[Event]) -> list[Span]:
    """The spans (events `X` of a numbered thread) of a Chrome trace."""
    return [
        Span(event["name"], event.get("cat", ""), event["ts"], event["ts"] + event["dur"], event["tid"])
        for event in events
        if event.get("ph") == "X" and isinstance(event["tid"], int)
    ]


def as_events(spans: Iterable[Span], process: int) -> list[Event]:
    return [
        {"ph": "X", "name": span.name, "cat": span.kind, "ts": span.start, "dur": span.us,
         "pid": process, "tid": span.thread}
        for span in spans
    ]  # fmt: skip


def self_times(spans: Sequence[Span]) -> list[float]:
    """The self time of each span. Clocks that are rounded let a span end a little after the one around it:
    what juts out counts for neither."""
    own = [span.us for span in spans]
    threads: dict[int, list[int]] = defaultdict(list)
    for number, span in enumerate(spans):
        threads[span.thread].append(number)
    for numbers in threads.values():
        open_spans: list[int] = []
        # Of two that begin together the longer one is around the other; the last of equals is the inner one.
        for number in sorted(numbers, key=lambda number: (spans[number].start, -spans[number].end)):
            span = spans[number]
            while open_spans and spans[open_spans[-1]].end <= span.start:
                open_spans.pop()
            if open_spans:
                around = spans[open_spans[-1]]
                inside = min(span.end, around.end) - span.start
                own[open_spans[-1]] -= inside
                own[number] -= span.us - inside
            open_spans.append(number)
    return own


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same moments, as intervals in order that do not touch."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        elif end > start:
            merged.append((start, end))
    return merged


def intersection(first: Sequence[Interval], second: Sequence[Interval]) -> list[Interval]:
    """The moments in both; both are unions."""
    common, one, other = [], 0, 0
    while one < len(first) and other < len(second):
        start, end = max(first[one][0], second[other][0]), min(first[one][1], second[other][1])
        if start < end:
            common.append((start, end))
        if first[one][1] < second[other][1]:
            one += 1
        else:
            other += 1
    return common


def difference(first: Sequence[Interval], second: Sequence[Interval]) -> list[Interval]:
    """The moments in the first alone; both are unions."""
    edges = [-math.inf, *(edge for interval in second for edge in interval), math.inf]
    return intersection(first, list(zip(edges[::2], edges[1::2], strict=True)))


def length(intervals: Iterable[Interval]) -> float:
    return sum(end - start for start, end in intervals)


def totals(names: Iterable[str], values: Iterable[float]) -> list[tuple[str, int, float]]:
    """(name, number, sum of the values), the largest sum first."""
    numbers: Counter[str] = Counter()
    sums: dict[str, float] = defaultdict(float)
    for name, value in zip(names, values, strict=True):
        numbers[name] += 1
        sums[name] += value
    return sorted(((name, numbers[name], sums[name]) for name in sums), key=lambda row: (-row[2], row[0]))


def write(folder: Path, events: Sequence[Event]) -> Path:
    """Write the trace into `folder`; the file's name is FILE."""
    path = folder / FILE
    text = json.dumps({"displayTimeUnit": "ms", "traceEvents": events}, separators=(",", ":"))
    write_bytes(path, gzip.compress(text.encode(), compresslevel=6, mtime=0))
    return path


def read(path: Path) -> list[Event]:
    """The events of a trace that `write` wrote."""
    return json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
