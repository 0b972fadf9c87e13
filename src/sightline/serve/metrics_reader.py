"""A server's /metrics, read over HTTP and put into the figures that `sightline monitor` shows.

Counts are since the server's start, or between two readings. What a server does not report is None: an older
server, or a bundle without the scores of val.
"""

import http.client
import math
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from sightline.inference.drift import DRIFTED, MOVED
from sightline.serve.metric_names import KINDS, OUTCOMES, SIGNALS, SURE, WINDOW

TIMEOUT_S, MOST_BYTES = 10, 4 << 20
NO_WORK = ("/live", "/ready", "/metrics", "other")  # routes that ask nothing of the model
REQUESTS, ANSWERS, SCORES = "sightline_requests_total", "sightline_answers_total", "sightline_scores_total"
SAFETY = "sightline_safety_decisions_total"
STARTED = "sightline_tokens_created"  # Unix time at which the server began to count
LIMITS = ("request_invalid", "request_too_large")  # reasons of SAFETY that are limits of the server

Labels = frozenset[tuple[str, str]]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key is for the server that was named."""

    def redirect_request(self, *given: Any) -> None:
        return None


@dataclass(frozen=True)
class Reading:
    """The samples of one reading: name -> labels -> value."""

    samples: dict[str, dict[Labels, float]]

    def total(self, name: str, keep: Callable[[dict[str, str]], bool] = lambda labels: True) -> float:
        """Sum of a metric over the label sets that `keep` takes."""
        return sum(value for labels, value in self.samples.get(name, {}).items() if keep(dict(labels)))

    def value(self, name: str, **labels: str) -> float | None:
        """One sample; None where there is none, or it is NaN."""
        found = self.samples.get(name, {}).get(frozenset(labels.items()))
        return None if found is None or math.isnan(found) else found

    def follows(self, before: "Reading") -> bool:
        """Whether the server of `before` gave this reading too, and has not started anew."""
        return self.value(STARTED) == before.value(STARTED)

    def since(self, before: "Reading") -> "Reading":
        """With the counts of what came after `before`; all of them where it does not follow."""
        if not self.follows(before):
            return self
        counted = {
            name: {
                labels: value - before.samples.get(name, {}).get(labels, 0.0)
                for labels, value in rows.items()
            }
            for name, rows in self.samples.items()
            if name.endswith(("_total", "_bucket", "_count", "_sum"))
        }  # fmt: skip
        return Reading(self.samples | counted)


def read(address: str, key: str | None) -> Reading:
    """The metrics of the server at `address` (http://host:port), which may ask for a key. Raises ValueError
    that says what is there instead."""
    url = _url(address)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as response:
            text = response.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise ValueError(f"{url}: {_refusal(error.code)}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(f"{url}: no answer ({reason}); is this the address of `sightline serve`?") from error
    return parse(url, text)


def parse(url: str, text: bytes) -> Reading:
    """The samples in Prometheus' text format. Raises ValueError where they are not a Sightline server's."""
    wrong = f"{url}: these are no metrics of a Sightline server; expected {REQUESTS} and others"
    if len(text) > MOST_BYTES:
        raise ValueError(f"{wrong}, found more than {MOST_BYTES} bytes")
    samples: dict[str, dict[Labels, float]] = defaultdict(dict)
    try:
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                samples[sample.name][frozenset(sample.labels.items())] = sample.value
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(wrong) from error
    if "sightline_requests_inside" not in samples:
        raise ValueError(wrong)
    return Reading(dict(samples))


def figures(now: Reading, before: Reading | None = None) -> dict[str, Any]:
    """What `sightline monitor` shows, and `--json` prints. Gauges are of now, counts since `before`."""
    counted = now if before is None else now.since(before)
    asked = counted.total(REQUESTS, _asks)
    errors = counted.total(
        REQUESTS, lambda labels: _asks(labels) and labels.get("status", "").startswith("5")
    )
    admissions = {
        outcome: int(counted.total("sightline_admissions_total", _with(outcome=outcome)))
        for outcome in OUTCOMES
    }
    return {
        "requests": int(asked),
        "errors": int(errors),
        "p50_s": quantile(counted, 0.5),
        "p99_s": quantile(counted, 0.99),
        "admissions": admissions,
        "inside": now.total("sightline_requests_inside"),
        "inside_limit": now.total("sightline_requests_inside_limit"),
        "queue": now.total("sightline_queue_depth"),
        "signals": {name: _signal(now, counted, name) for name in SIGNALS},
        "not_sure": {kind: _not_sure(counted, kind) for kind in KINDS[:-1]},
        "safety_decisions": _safety(counted),
        "connections_refused": int(
            counted.total(
                "sightline_connections_refused_total", lambda labels: labels.get("why") != "idle_time"
            )
        ),
        "log_lines_dropped": int(counted.total("sightline_log_dropped_total")),
    }


def quantile(reading: Reading, share: float) -> float | None:
    """Seconds that `share` of the requests did not exceed, as `histogram_quantile` of Prometheus reads them
    from buckets; None without requests."""
    name = "sightline_latency_seconds_bucket"
    buckets: dict[float, float] = defaultdict(float)
    for labels, value in reading.samples.get(name, {}).items():
        if _asks(dict(labels)):
            buckets[float(dict(labels)["le"])] += value
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    wanted, low, below = share * buckets[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if math.isinf(bound):
                return low
            inside = buckets[bound] - below
            return low + (bound - low) * ((wanted - below) / inside if inside else 1.0)
        low, below = bound, buckets[bound]
    raise AssertionError("the last bucket holds all requests")


def verdict(signal: dict[str, Any]) -> str:
    """What a signal's drift says, in words."""
    psi = signal["psi"]
    if signal["expected_beyond"] is None:
        return "not available: the bundle has no scores of val, or too few"
    if psi is None:
        return f"not yet: {signal['window']} of {WINDOW} scores"
    word = "as in training" if psi < MOVED else "moved" if psi < DRIFTED else "drifted"
    return f"{word} (PSI {psi:.2f})"


def _signal(now: Reading, counted: Reading, name: str) -> dict[str, Any]:
    found = {
        "scores": int(counted.total(SCORES, _with(signal=name))),
        "beyond": int(counted.total(SCORES, _with(signal=name, bound="beyond"))),
        "expected_beyond": now.value("sightline_expected_beyond_ratio", signal=name),
        "psi": now.value("sightline_drift_psi", signal=name),
        "window": int(now.value("sightline_drift_window", signal=name) or 0),
    }
    return found | {"verdict": verdict(found)}


def _not_sure(counted: Reading, kind: str) -> dict[str, int]:
    return {
        "answers": int(counted.total(ANSWERS, _with(kind=kind))),
        "not_sure": int(counted.total(ANSWERS, _with(kind=kind, sure=SURE[False]))),
    }


def _safety(counted: Reading) -> dict[str, int] | None:
    rows = counted.samples.get(SAFETY)
    if rows is None:
        return None
    return {
        reason: int(value)
        for labels, value in sorted(rows.items(), key=str)
        if (reason := dict(labels).get("reason", "")) not in LIMITS
    }


def _with(**wanted: str) -> Callable[[dict[str, str]], bool]:
    """Takes the label sets that have these values."""
    return lambda labels: wanted.items() <= labels.items()


def _asks(labels: dict[str, str]) -> bool:
    return labels.get("route") not in NO_WORK


def _url(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{address!r}: expected the address of a server, such as http://127.0.0.1:8000")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/metrics')}/metrics"


def _refusal(status: int) -> str:
    if status == 404:
        return (
            "there are no metrics: they are below the server's `root_path`, which belongs to the address "
            "(https://host/path), or its settings have `metrics: false` (SIGHTLINE_SERVE__METRICS=true turns "
            "them on), or another program answers there"
        )
    if status in (401, 403):
        return "the server asks for a key: give --keys FILE with one that it accepts"
    return f"expected status 200, got {status}"
