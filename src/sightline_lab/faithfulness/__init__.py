"""Faithfulness of explanation methods: broken weights, other libraries, the published page.

randomization.py: maps when weights are randomised
quantus_crosscheck.py: our figures against Quantus
faithfulness_page.py: docs/reports/explanations.md

Not here: the measures (`explain/faithfulness.py`), the methods (`explain/methods`).
"""
