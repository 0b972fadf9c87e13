"""Measuring a model: every split, variant and SPIN setting, baselines, intervals, the report, the gate.

evaluation.py: the entry point of the stage: all figures into metrics/ and plots/
metrics/: a file per metric
dataset_report/: `sightline dataset-report`: what is in the data
red_team/: `sightline red-team`: attacks on a model, each with a control
split_contents.py: pictures, questions and truth of a split
predictions.py: answers and retrieval ranks of one model on a split
collect_predictions.py: predictions of every variant, each in a process
scoring.py: from answers and ranks to rows with intervals
bootstrap.py: 95 % intervals clustered by picture
paired_pictures.py: two models that were measured at different times, on the same test pictures
majority_baseline.py: the most frequent answer
oracle.py: the upper bound
ood_detection.py: how well the out-of-domain warnings of `inference` work
foreign_questions.py: questions that no data set here teaches
quality_gate.py: the limits (params `gate`) and the checks against them
metrics_summary.py: metrics/summary.json
metrics_report.py: the report in Markdown
chart_tables.py: the bars of `dvc plots diff`
result_files.py: CSV and JSON lines, the same bytes

Not here: how an answer is decoded (`inference`), whether an explanation is true
(`explain/faithfulness.py`), speed (`sightline_lab/bench`).
"""
