"""What each stage needs as the data grows: memory and time at 2,000, 20,000 and 200,000 rows.

synthetic_table.py: the table and its pictures
scale_study.py: the stages over it, each as its own process
scale_page.py: docs/reports/scale-data.md
scale_plan.py: lines fitted to these sizes, and what they say of others
plan_page.py: docs/reports/plan.md: 10 million to a billion pairs

Not here: speed of the model (`bench`), search against size (`bench/ann_benchmark.py`).
"""
