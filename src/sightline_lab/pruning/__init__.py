"""Criteria of pruning compared at equal size.

pruning_study.py: the study
pruning_page.py: docs/reports/pruning.md

Not here: pruning itself (`compress`).
"""
