"""Effect of captions of similar pictures on the answers.

retrieval_augmentation.py: the study
retrieval_page.py: docs/reports/retrieval.md

Not here: `ask --retrieve` (`inference/retrieval_context.py`), search quality
(`evaluate/metrics/retrieval.py`).
"""
