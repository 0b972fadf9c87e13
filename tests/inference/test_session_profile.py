"""A session under ONNX Runtime's profiler: the same answers, every operator within a run of ours, times that
add up."""

import numpy as np
import pytest

from sightline.core import profile_page, trace_events
from sightline.core.trace_events import Span
from sightline.inference import session_profile
from sightline.inference.onnx_engine import GRAPHS
from sightline.inference.session import Session
from sightline.inference.session_profile import (
    MODEL_RUN,
    NODE,
    OUTSIDE,
    PHASE,
    REQUEST,
    REST,
    RUN,
    SESSION,
    Measured,
    SessionProfiler,
)  # fmt: skip
from tests.support import tiny


def asked(session, count=1):
    answers = session.answer(tiny.pictures(count), tiny.QUESTIONS[:count], batch_size=count)
    return [(answer.text, answer.probability) for answer in answers]


def recorded(session, count=1):
    profiler = SessionProfiler()
    with profiler.recording(session.engine):
        with profiler.recorder.span("warm-up", "warm-up"):
            first = asked(session, count)
        with profiler.recorder.span("ask", REQUEST):
            second = asked(session, count)
    return profiler, first, second


@pytest.fixture
def session(root):
    return Session.open(root, "fp32")


def test_answers_are_the_same_bits_under_the_profiler_and_after_it(session):
    before = asked(session)
    opened = dict(session.engine._sessions)
    _, first, second = recorded(session)
    assert before == first == second == asked(session)
    assert not any(
        isinstance(graph, session_profile.RecordedGraph) for graph in session.engine._sessions.values()
    )
    assert opened.keys() == session.engine._sessions.keys() == set(GRAPHS)


@pytest.mark.parametrize(("threads", "count"), [(1, 1), (2, 4)])
def test_every_run_of_onnx_runtime_lies_in_one_of_ours(root, threads, count):
    """By whose clock the trace is merged; with two threads parts of a batch run beside each other."""
    profiler, _, _ = recorded(Session.open(root, "fp32", threads), count)
    spans = trace_events.of_events(profiler.events)
    ours = [span for span in spans if span.kind == RUN]
    theirs = [span for span in spans if span.name == MODEL_RUN]
    assert len(ours) == len(theirs) > 5
    for run in theirs:
        around = [
            span for span in ours
            if span.thread == run.thread and span.start - 2 <= run.start and run.end <= span.end + 2
        ]  # fmt: skip
        assert len(around) == 1  # two microseconds: ONNX Runtime's are whole ones
    graphs = {span.name for span in ours}
    assert graphs >= {"vision", "memory", "decoder"} if threads == 1 else "vision, one thread" in graphs


def test_phases_and_operators_add_up_to_the_requests_without_the_warm_up(session):
    profiler, _, _ = recorded(session)
    made = profiler.profile("ask")
    measured = Measured(trace_events.of_events(profiler.events))
    (request,) = measured.requests
    for rows in (made.phases, made.operators):
        assert sum(row.ms for row in rows) == pytest.approx(request.us / 1e3) == made.ms
        assert sum(row.share for row in rows) == pytest.approx(1.0) and min(row.ms for row in rows) >= 0
    assert {row.name for row in made.phases} >= {
        "preprocess", "encode picture", "prefill", "decode step", "tokenizer", REST
    }  # fmt: skip
    nodes = [row for row in made.operators if row.name.startswith("decoder: ")]
    assert nodes and OUTSIDE in {row.name for row in made.operators}
    table = made.tables[-1]
    runs = {name: number for name, number, _, _ in table.rows}
    steps = next(row.calls for row in made.phases if row.name == "decode step")
    assert runs["decoder"] == steps and runs["fusion"] == 0 and runs["vision"] == runs["memory"] == 1
    assert measured.lost_runs() == 0 and len(made.notes) == len(session_profile.NOTES)


def test_the_page_and_the_trace_can_be_opened(session, tmp_path):
    profiler, _, _ = recorded(session)
    page = profile_page.write(tmp_path / "out", profiler.profile("ask <once>"), profiler.events)
    text = page.read_text()
    assert "ask &lt;once&gt;" in text and "://" not in text and "<script" not in text
    events = trace_events.read(tmp_path / "out" / trace_events.FILE)
    assert {event["ph"] for event in events} == {"X"}
    node = next(event for event in events if event["cat"] == NODE)
    assert node["args"].keys() >= {"op_name", "node"} and node["name"].endswith(
        f": {node['args']['op_name']}"
    )


def test_runs_without_operators_are_said():
    """As where ONNX Runtime's profiler is full."""
    runs = [Span("decoder", RUN, 10, 20, 1), Span("decoder", RUN, 30, 40, 1)]
    spans = [Span("ask", REQUEST, 0, 100, 1), *runs, Span(MODEL_RUN, SESSION, 11, 19, 1)]
    profiler = SessionProfiler()
    profiler.events = trace_events.as_events(spans, 1)
    assert Measured(spans).lost_runs() == 1
    assert "kept no operators of 1 runs" in profiler.profile("ask").notes[-1]


def test_requests_are_those_of_their_own_thread():
    spans = [Span("ask", REQUEST, 0, 100, 1), Span("preprocess", PHASE, 10, 30, 1),
             Span("preprocess", PHASE, 10, 30, 2), Span("preprocess", PHASE, 110, 130, 1)]  # fmt: skip
    assert Measured(spans).phases() == [(REST, 1, 80), ("preprocess", 1, 20)]
    assert np.isclose(Measured(spans).us, 100)
