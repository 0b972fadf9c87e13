"""What the figures of a monitored server are worth.

monitoring_study.py: the study
monitoring_page.py: docs/reports/monitoring.md

Not here: the figures themselves (`inference/drift.py`, `inference/object_words.py`, `serve/prometheus.py`).
"""
