"""Measuring a model: every split, variant and SPIN setting, baselines beside them, intervals, the report,
the gate.

evaluation.py: the verb: all figures into metrics/ and plots/
metrics/: a file per metric
dataset_report/: `sightline dataset-report`: what is in the data
split_contents.py: what is asked on a split
predictions.py: one predictor asked everything about a split
collect_predictions.py: every variant asked, each in a process
scoring.py: from answers and ranks to rows with intervals
bootstrap.py: 95 % intervals clustered by picture
majority_baseline.py: the answer without looking
oracle.py: the best possible score
ood_detection.py: how well the out-of-domain warning works
quality_gate.py: the floors (params `gate`) and what passes them
metrics_summary.py: metrics/summary.json
metrics_report.py: the report in Markdown
chart_tables.py: the bars of `dvc plots diff`
result_files.py: CSV and JSON lines, the same bytes

Not here: how an answer is decoded (`inference`), whether an explanation is true
(`explain/faithfulness.py`), speed (`sightline_lab/bench`).
"""
