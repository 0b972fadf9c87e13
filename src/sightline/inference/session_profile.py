"""A session under ONNX Runtime's own profiler: one trace of every graph and of what Python does around them.

Each graph is opened anew with the profiler on. Its clock begins when it is opened; that a run begins within a
span of ours of the same thread tells by how much it is behind ours.
"""

from __future__ import annotations

import json
import os
import tempfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import machine, profile_page, trace_events
from sightline.core.profile_page import Profile, Table
from sightline.core.trace_events import Event, Recorder, Span
from sightline.data.image_workers import ImageWorkers
from sightline.data.tokenizer import Tokenizer
from sightline.inference import execution_provider
from sightline.inference.encoding import Encoder
from sightline.inference.execution_provider import ProviderError
from sightline.inference.onnx_engine import OnnxEngine, open_session
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.question_detector import QuestionDetector

# Kinds of spans: what was asked for, as a whole; its phases; the runs of graphs. Then ONNX Runtime's own.
REQUEST, PHASE, RUN = "request", "phase", "run"
NODE, SESSION = "Node", "Session"
MODEL_RUN, KERNEL_TIME = "model_run", "_kernel_time"
KEPT_ARGS = (
    "op_name",
    "input_type_shape",
    "output_type_shape",
    "provider",
)  # of a node; others fill the file
REST, OUTSIDE = "Python around it", "outside of ONNX Runtime"  # of a request: in no phase, in no run
AROUND = "ONNX Runtime around the operators"

PHASES: tuple[tuple[type, str, str], ...] = (
    (ImageWorkers, "decode", "decode picture"),
    (Encoder, "pixels", "preprocess"),
    (OnnxEngine, "image_tokens", "encode picture"),
    (OnnxEngine, "embed_images", "encode picture"),
    (OnnxEngine, "embed_texts", "encode text"),
    (OnnxEngine, "memory", "prefill"),
    (OnnxEngine, "step", "decode step"),
    (OnnxEngine, "match", "re-rank"),
    (Tokenizer, "encode", "tokenizer"),
    (Tokenizer, "batch", "tokenizer"),
    (Tokenizer, "decode", "tokenizer"),
    (OODDetector, "distances", "out-of-domain check"),
    (QuestionDetector, "unlike", "out-of-domain check"),
)
NOTES = (
    "prefill: the picture and the question are read, once an answer. decode step: one token of every answer "
    "of the batch. The time of a phase holds the runs of its graphs.",
    "The profiler itself takes time in every operator: compare shares, not the speed of whole requests.",
)


class RecordedGraph:
    """A graph whose runs are spans of `recorder`, under ONNX Runtime's profiler until `end`."""

    def __init__(
        self, name: str, path: Path, threads: int, provider: str, profile: Path, recorder: Recorder
    ) -> None:
        self.name, self._recorder = name, recorder
        self._session = open_session(path, threads, provider, profile)

    def run(self, outputs: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        with self._recorder.span(self.name, RUN):
            return self._session.run(outputs, feed)

    def get_inputs(self) -> Sequence[Any]:
        return self._session.get_inputs()

    def get_providers(self) -> list[str]:
        return self._session.get_providers()

    def end(self) -> list[Event]:
        """The events of its runs by our clock, each node under the name of its operator; none of a graph that
        never ran."""
        path = Path(self._session.end_profiling())
        events = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
        ours = [span for span in self._recorder.spans if span.kind == RUN and span.name == self.name]
        offset = _offset(ours, trace_events.of_events(events))
        if offset is None:
            return []
        return [self._event(event, offset) for event in events if event.get("ph") == "X"]

    def _event(self, event: Event, offset: float) -> Event:
        args = {key: event["args"][key] for key in KEPT_ARGS if key in event["args"]}
        moved = {**event, "ts": event["ts"] + offset, "args": args}
        if event["cat"] == NODE:
            moved["name"] = f"{self.name}: {args['op_name']}"
            moved["args"]["node"] = event["name"].removesuffix(KERNEL_TIME)
        return moved


def _offset(ours: Sequence[Span], theirs: Sequence[Span]) -> float | None:
    """What brings times of ONNX Runtime to our clock: its runs begin within ours, in the same order, so the
    largest difference is the closest. None where nothing ran."""
    pairs = []
    for thread in {span.thread for span in ours}:
        mine = sorted(span.start for span in ours if span.thread == thread)
        runs = sorted(span.start for span in theirs if span.name == MODEL_RUN and span.thread == thread)
        pairs += [one - other for one, other in zip(mine, runs, strict=False)]
    return max(pairs, default=None)


class SessionProfiler:
    """What happened while `recording`: `recorder` has the spans, `events` the whole trace afterwards."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.events: list[Event] = []
        self._graphs: list[RecordedGraph] = []

    @contextmanager
    def recording(self, engine: OnnxEngine, calls: Iterable[tuple[type, str, str]] = ()) -> Iterator[None]:
        """Profile all graphs of the engine, and record PHASES and further `calls`; afterwards it is as it
        was. Raises ProviderError where OpenVINO computes them."""
        provider = engine.provider
        if provider in execution_provider.OPENVINO:
            raise ProviderError(
                f"{execution_provider.VARIABLE} is {provider!r}, but the profiler is ONNX Runtime's: unset it"
            )
        with tempfile.TemporaryDirectory() as folder:

            def opened(path: Path, threads: int) -> RecordedGraph:
                known = {graph.name for graph in self._graphs}
                name = path.stem if path.stem not in known else f"{path.stem}, one thread"
                profile = Path(folder) / name.replace(", ", "-")
                self._graphs.append(RecordedGraph(name, path, threads, provider, profile, self.recorder))
                return self._graphs[-1]

            engine.open(opened)
            try:
                with self.recorder.watching([*PHASES, *calls], PHASE):
                    yield
            finally:
                ended = [event for graph in self._graphs for event in graph.end()]
                self.events = trace_events.as_events(self.recorder.spans, os.getpid()) + ended
                engine.open(engine.open_graph)

    def profile(
        self, what: str, tables: Sequence[Table] = (), facts: dict[str, str] | None = None
    ) -> Profile:
        """What the requests (spans of the kind REQUEST) took, all together; `tables` come before the graphs'
        own."""
        measured = Measured(trace_events.of_events(self.events))
        whole_ms = measured.us / 1e3
        names = [graph.name for graph in self._graphs]
        notes = list(NOTES)
        if lost := measured.lost_runs():
            notes.append(f"ONNX Runtime kept no operators of {lost} runs: there were too many of them.")
        return Profile(
            what, whole_ms, profile_page.rows(whole_ms, measured.phases()),
            profile_page.rows(whole_ms, measured.operators()),
            {"resident memory of the process, most so far": machine.peak_resident_mib()},
            machine.facts("onnxruntime") | (facts or {}), [*tables, measured.graphs(names)], notes,
        )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """The spans of a trace, by what they say of its requests. What lies outside of them, as warming up does,
    does not count."""

    spans: Sequence[Span]

    @property
    def requests(self) -> list[Span]:
        return [span for span in self.spans if span.kind == REQUEST]

    @property
    def us(self) -> float:
        """Of all requests, in every thread that works for them."""
        return sum(span.us for span in self.requests)

    def phases(self) -> list[tuple[str, int, float]]:
        """(name, times, microseconds) of every phase without the phases in it; they add up to the
        requests."""
        return self._totals(self._inside(PHASE), REST)

    def operators(self) -> list[tuple[str, int, float]]:
        """The same of operators by graph, and of what is outside of them."""
        inside = [span for span in self._inside(NODE, SESSION) if span.kind == NODE or span.name == MODEL_RUN]
        return self._totals(inside, OUTSIDE)

    def graphs(self, names: Sequence[str]) -> Table:
        """The runs of every graph."""
        runs = self._meanwhile(RUN)
        rows: list[tuple[str | float | int | None, ...]] = []
        for name in names:
            times = [span.us / 1e3 for span in runs if span.name == name]
            each = sum(times) / len(times) if times else None
            rows.append((name, len(times), sum(times), each))
        return Table(
            "The graphs", "Runs of ONNX Runtime's sessions in these requests.", ("", "runs", "ms", "ms each"),
            rows,
        )  # fmt: skip

    def lost_runs(self) -> int:
        """Runs of ours of which ONNX Runtime has none: its profiler holds a million events."""
        theirs = [span for span in self._meanwhile(SESSION) if span.name == MODEL_RUN]
        return len(self._meanwhile(RUN)) - len(theirs)

    def _inside(self, *kinds: str) -> list[Span]:
        """The spans of these kinds within the requests of their thread."""
        of_thread: dict[int, list[trace_events.Interval]] = defaultdict(list)
        for request in self.requests:
            of_thread[request.thread].append((request.start, request.end))
        moments = {thread: trace_events.union(each) for thread, each in of_thread.items()}
        return [
            span for span in self.spans if span.kind in kinds and _during(span, moments.get(span.thread, []))
        ]

    def _meanwhile(self, *kinds: str) -> list[Span]:
        """The same of any thread: parts of a batch of pictures run in some of their own."""
        moments = trace_events.union((span.start, span.end) for span in self.requests)
        return [span for span in self.spans if span.kind in kinds and _during(span, moments)]

    def _totals(self, inside: Sequence[Span], rest: str) -> list[tuple[str, int, float]]:
        """Of the requests, under the name `rest`, and of the spans in them."""
        counted, renamed = [*self.requests, *inside], {REQUEST: rest, SESSION: AROUND}
        names = [renamed.get(span.kind, span.name) for span in counted]
        return trace_events.totals(names, trace_events.self_times(counted))


def _during(span: Span, moments: Sequence[trace_events.Interval]) -> bool:
    """Whether the span begins in one of the moments, which are a union."""
    at = bisect_right(moments, span.start, key=lambda each: each[0]) - 1
    return at >= 0 and span.start < moments[at][1]
