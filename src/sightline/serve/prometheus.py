"""/metrics for Prometheus: traffic, and the drift of what is asked from what the model was trained on.

Numbers alone: no picture, question or answer is kept, and labels come from fixed lists. D width of a
picture's mean token; sums run over the last WINDOW pictures or answers.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sightline.inference import drift
from sightline.inference.answering import Answer
from sightline.inference.engine import SHORT_ANSWER
from sightline.serve.batch_model import Model
from sightline.serve.metric_names import KINDS, OUTCOMES, SIGNALS, SURE, WINDOW
from sightline.serve.safety.policy import LIMIT_REASONS, REASONS

LIMITED = {400: "request_invalid", 413: "request_too_large"}  # status -> reason
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Signal:
    """A score with its bound: how many lie beyond it, and how far the last WINDOW have moved from val's."""

    def __init__(
        self, within: Counter, beyond: Counter, bound: float, above: bool, reference: drift.Histogram | None
    ) -> None:
        """`above`: beyond means above the bound, else at or below it."""
        self._within, self._beyond, self._bound, self._above = within, beyond, bound, above
        self.reference = reference
        self._bins: deque[int] = deque(maxlen=WINDOW)
        self._counts = [0] * (len(reference.counts) if reference else 0)

    def observe(self, score: float) -> None:
        (self._beyond if (score > self._bound) == self._above else self._within).inc()
        if self.reference is None:
            return
        if len(self._bins) == WINDOW:
            self._counts[self._bins[0]] -= 1
        found = self.reference.bin(score)
        self._bins.append(found)
        self._counts[found] += 1

    def seen(self) -> float:
        """Scores in the window."""
        return float(len(self._bins))

    def psi(self) -> float:
        """NaN until the window is full, and without a reference."""
        full = self.reference is not None and len(self._bins) == WINDOW
        return self.reference.psi(self._counts) if self.reference and full else math.nan

    def expected(self) -> float:
        """Share of val's scores beyond the bound; NaN without a reference."""
        if self.reference is None:
            return math.nan
        above = self.reference.share_above(self._bound)
        return above if self._above else 1.0 - above


class Metrics:
    """One server's figures. Used from its event loop only."""

    def __init__(self, model: Model, queue_limit: int) -> None:
        self.registry = CollectorRegistry()
        self._ood_detector = model.ood_detector
        self._pooled: deque[np.ndarray] = deque(maxlen=WINDOW)
        self._scores: deque[float] = deque(maxlen=WINDOW)
        self._silenced: deque[float] = deque(maxlen=WINDOW)
        registry = self.registry
        self.requests = Counter(
            "sightline_requests", "Requests by route and status", ["route", "status"], registry=registry
        )
        self.latency = Histogram(
            "sightline_latency_seconds",
            "From request to end of answer",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.tokens = Counter(
            "sightline_tokens", "Answer tokens; rate() of it is tokens per second", registry=registry
        )
        self.inside = Gauge(
            "sightline_requests_inside", "Requests let in and not yet answered", registry=registry
        )
        self.queue = Gauge("sightline_queue_depth", "Rows waiting for the model", registry=registry)
        self.connections = Gauge("sightline_connections", "Open connections", registry=registry)
        self.refused_connections = Counter(
            "sightline_connections_refused", "Connections closed by a limit", ["why"], registry=registry
        )
        self.log_dropped = Counter(
            "sightline_log_dropped", "Lines of the log that nobody read in time", registry=registry
        )
        self.safety = Counter(
            "sightline_safety_decisions",
            "Responses that were refused, marked or masked, by reason",
            ["reason"],
            registry=registry,
        )
        for reason in (*REASONS, *LIMIT_REASONS):
            self.safety.labels(reason)  # there at 0, so that a rate is known from the first
        self._traffic = lru_cache(512)(self._labelled)
        admissions = Counter(
            "sightline_admissions", "Requests for the model, let in or refused", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.admissions = {outcome: admissions.labels(outcome) for outcome in OUTCOMES}
        answers = Counter(
            "sightline_answers", "Answers, and whether sure", ["kind", "sure"], registry=registry
        )
        self._answers = {
            (kind, sure): answers.labels(kind, word) for kind in KINDS for sure, word in SURE.items()
        }
        self._signals = self._watched(model)
        limit = Gauge(
            "sightline_requests_inside_limit", "Beyond it requests are answered 429", registry=registry
        )
        limit.set(queue_limit)
        self._gauge("sightline_silenced_head_ratio", "Heads that SPIN gated, over gated answers", self._gated)
        self._gauge("sightline_embedding_drift", "Distance of the mean picture from training's", self._drift)
        self._gauge("sightline_domain_score", "Mean out-of-domain score of pictures", self._score)
        self._gauge("sightline_domain_drift", "That mean as a share of the bound that warns", self._share)
        self._gauge("sightline_out_of_domain_ratio", "Pictures beyond the bound", self._outside)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        count, latency = self._traffic(route, status)
        count.inc()
        latency.observe(seconds)
        if status in LIMITED:
            self.decided([LIMITED[status]])

    def decided(self, reasons: Iterable[str]) -> None:
        """Count a response by the reasons of what was decided about it."""
        for reason in reasons:
            self.safety.labels(reason).inc()

    def picture(self, pooled_D: np.ndarray, score: float) -> None:
        """Count a picture by its mean token and its domain score."""
        self._pooled.append(pooled_D)
        self._scores.append(score)
        self._signals["picture"].observe(score)

    def question(self, score: float) -> None:
        """Count a question by its domain score."""
        self._signals["question"].observe(score)

    def answer(self, answer: Answer, sure: bool | None) -> None:
        """Count an answer; `sure`: as its client is told."""
        self.tokens.inc(len(answer.ids))
        self._answers[_kind(answer), sure].inc()
        if len(answer.ids) <= SHORT_ANSWER:
            self._signals["confidence"].observe(answer.confidence)
        elif answer.object_probability is not None:
            self._signals["object_word"].observe(answer.object_probability)

    def gated(self, share: float) -> None:
        """Count an answer by the share of its heads that SPIN silenced."""
        self._silenced.append(share)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _labelled(self, route: str, status: int) -> tuple[Counter, Histogram]:
        return self.requests.labels(route, str(status)), self.latency.labels(route)

    def _watched(self, model: Model) -> dict[str, Signal]:
        """The signals by name; what a bundle does not judge by has no bound, so that nothing is beyond it."""
        session, pictures = model.session, model.ood_detector
        questions, words = session.question_detector, session.object_words
        confidence, sure_above = session.settings.confidence, session.settings.confidence.sure_above
        bounds: dict[str, tuple[float, bool, drift.Histogram | None]] = {
            "picture": (pictures.bound, True, pictures.reference) if pictures else (math.inf, True, None),
            "question": (questions.bound, True, questions.reference) if questions else (math.inf, True, None),
            "confidence": (-1.0 if sure_above is None else sure_above, False, confidence.reference),
            "object_word": (words.bound, False, words.reference) if words else (-1.0, False, None),
        }
        scores = Counter(
            "sightline_scores", "Scores within their bound and beyond it", ["signal", "bound"],
            registry=self.registry,
        )  # fmt: skip
        signals = {
            name: Signal(scores.labels(name, "within"), scores.labels(name, "beyond"), *bounds[name])
            for name in SIGNALS
        }
        gauges: dict[str, tuple[str, Callable[[Signal], float]]] = {
            "sightline_drift_psi": (f"Population stability index of the last {WINDOW} scores", Signal.psi),
            "sightline_drift_window": (f"Scores of the last {WINDOW} that there are", Signal.seen),
            "sightline_expected_beyond_ratio": ("Share of val's scores beyond the bound", Signal.expected),
        }
        for name, (what, value) in gauges.items():
            gauge = Gauge(name, what, ["signal"], registry=self.registry)
            for label, signal in signals.items():
                gauge.labels(label).set_function(partial(value, signal))
        return signals

    def _gauge(self, name: str, what: str, value) -> None:
        Gauge(name, f"{what}; last {WINDOW}", registry=self.registry).set_function(value)

    def _gated(self) -> float:
        return float(np.mean(self._silenced)) if self._silenced else 0.0

    def _drift(self) -> float:
        """Mahalanobis distance of the window's mean token from the training mean: 0 where they agree, and
        small numbers of pictures are far by chance."""
        if not self._pooled or self._ood_detector is None:
            return 0.0
        return float(self._ood_detector.distances(np.mean(self._pooled, axis=0)[None])[0])

    def _score(self) -> float:
        return float(np.mean(self._scores)) if self._scores else 0.0

    def _share(self) -> float:
        bound = self._ood_detector.bound if self._ood_detector else 0.0
        return self._score() / bound if bound else 0.0

    def _outside(self) -> float:
        if not self._scores or self._ood_detector is None:
            return 0.0
        return float(np.mean(np.array(self._scores) > self._ood_detector.bound))


def _kind(answer: Answer) -> str:
    """The type of an answer, read from itself."""
    if len(answer.ids) > SHORT_ANSWER:
        return "description"
    text = answer.text.strip().lower()
    if text in ("yes", "no"):  # in every language: see data.questions.language
        return "yes_no"
    return "number" if text.isdigit() else "other"
