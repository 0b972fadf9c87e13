"""/metrics for Prometheus: traffic, and the drift of served pictures from the training pictures.

D width of a picture's mean token; sums run over the last WINDOW pictures or answers.
"""

from collections import deque
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sightline.inference.out_of_domain import OODDetector
from sightline.serve.safety.policy import LIMIT_REASONS, REASONS

WINDOW = 256
LIMITED = {400: "request_invalid", 413: "request_too_large"}  # status -> reason
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One server's figures. Used from its event loop only."""

    def __init__(self, ood_detector: OODDetector, queue_limit: int) -> None:
        self.registry = CollectorRegistry()
        self._ood_detector = ood_detector
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

    def gated(self, share: float) -> None:
        """Count an answer by the share of its heads that SPIN silenced."""
        self._silenced.append(share)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _labelled(self, route: str, status: int) -> tuple[Counter, Histogram]:
        return self.requests.labels(route, str(status)), self.latency.labels(route)

    def _gauge(self, name: str, what: str, value) -> None:
        Gauge(name, f"{what}; last {WINDOW}", registry=self.registry).set_function(value)

    def _gated(self) -> float:
        return float(np.mean(self._silenced)) if self._silenced else 0.0

    def _drift(self) -> float:
        """Mahalanobis distance of the window's mean token from the training mean: 0 where they agree, and
        small numbers of pictures are far by chance."""
        if not self._pooled:
            return 0.0
        return float(self._ood_detector.distances(np.mean(self._pooled, axis=0)[None])[0])

    def _score(self) -> float:
        return float(np.mean(self._scores)) if self._scores else 0.0

    def _share(self) -> float:
        return self._score() / self._ood_detector.bound if self._ood_detector.bound else 0.0

    def _outside(self) -> float:
        return float(np.mean(np.array(self._scores) > self._ood_detector.bound)) if self._scores else 0.0
