"""Experiments around the product: ablations, comparisons, benchmarks, load tests."""

import sightline  # noqa: F401  (before any module here: it turns the dependencies' telemetry off)
