"""Faithfulness of explanation methods: broken weights, other libraries, the published page.

randomization.py: maps when weights are randomised
mosaics.py: a known place on photos without boxes
maps_to_judge.py: maps for a person's verdict
quantus_crosscheck.py: our figures against Quantus
faithfulness_page.py: docs/reports/explanations.md

Not here: the measures (`explain/faithfulness.py`), the methods (`explain/methods`).
"""
