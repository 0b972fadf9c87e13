"""Spans and their self times, by hand and by their sums; the file that Perfetto opens."""

import gzip
import json
import threading

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx, raises

from sightline.core import trace_events
from sightline.core.trace_events import Recorder, Span


def span(name, start, end, thread=1):
    return Span(name, "phase", start, end, thread)


def test_self_times_by_hand():
    spans = [span("step", 0, 100), span("data", 0, 30), span("decode", 10, 15), span("forward", 40, 90),
             span("elsewhere", 20, 60, thread=2)]  # fmt: skip
    assert trace_events.self_times(spans) == [20, 25, 5, 50, 40]


def test_what_juts_out_of_the_span_around_it_counts_for_neither():
    """As ONNX Runtime's whole microseconds do."""
    assert trace_events.self_times([span("run", 0, 10), span("node", 8, 11), span("next", 12, 13)]) == [
        8,
        2,
        1,
    ]


intervals = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple), max_size=9)


@st.composite
def nested(draw, low=0, high=64):
    """Spans that lie inside each other or apart, as those of a thread do."""
    cut = sorted(draw(st.lists(st.integers(low, high), max_size=4)))
    found = []
    for start, end in zip(cut[::2], cut[1::2], strict=False):
        if end > start:
            found.append((start, end))
            found += draw(nested(start, end)) if end - start > 8 else []
    return found


@given(nested())
def test_self_times_add_up_to_the_outermost_spans(found):
    spans = [span(str(number), *each) for number, each in enumerate(found)]
    own = trace_events.self_times(spans)
    assert min(own, default=0) >= 0
    assert sum(own) == trace_events.length(trace_events.union(found))


@given(intervals, intervals)
def test_moments_are_counted_once(first, second):
    one, other = trace_events.union(first), trace_events.union(second)
    moments = [{t for start, end in each for t in range(start, end)} for each in (first, second)]
    assert trace_events.length(one) == len(moments[0])
    assert trace_events.length(trace_events.intersection(one, other)) == len(moments[0] & moments[1])
    assert trace_events.length(trace_events.difference(one, other)) == len(moments[0] - moments[1])


class Cup:
    def fill(self, much):
        return self.pour() + much

    def pour(self):
        return 1


def test_calls_are_spans_while_they_are_watched_and_results_stay():
    now = iter(range(0, 9000, 1000))
    recorder = Recorder(lambda: next(now))
    original = Cup.__dict__["fill"]
    with recorder.watching([(Cup, "fill", "filling"), (Cup, "pour", "pouring")]):
        assert Cup().fill(2) == 3
    assert Cup().fill(3) == 4 and Cup.__dict__["fill"] is original
    here = threading.get_native_id()
    assert recorder.spans == [Span("pouring", "phase", 1, 2, here), Span("filling", "phase", 0, 3, here)]
    with raises(KeyError), recorder.watching([(Cup, "empty", "emptying")]):
        pass


def test_totals_by_name_the_largest_first():
    assert trace_events.totals("abab", [1.0, 5.0, 2.0, 0.5]) == [("b", 2, 5.5), ("a", 2, 3.0)]


def test_the_file_is_gzipped_json_of_chromes_format(tmp_path):
    spans = [span("a", 1.5, 4.0), span("b", 2.0, 3.0, thread=7)]
    path = trace_events.write(tmp_path, trace_events.as_events(spans, process=12))
    document = json.loads(gzip.decompress(path.read_bytes()))
    assert {event["ph"] for event in document["traceEvents"]} == {"X"}
    assert [event["dur"] for event in document["traceEvents"]] == approx([2.5, 1.0])
    assert trace_events.of_events(trace_events.read(path)) == spans
