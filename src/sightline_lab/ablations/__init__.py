"""Contribution of each part of the pipeline: every arm of lab/ablations.yaml at equal compute, several seeds.

arms.py: the arms and their budgets
cost_model.py: cost of an epoch
workspaces.py: scratch copies in which DVC runs
run_ablations.py: runs the arms
evaluate_arm.py: figures of an arm on val
ablation_summary.py: means, differences, verdicts, the page
ablation_page.py: writes it
ablation_figures.py: its picture

Not here: searches over parameters (`experiments`).
"""
