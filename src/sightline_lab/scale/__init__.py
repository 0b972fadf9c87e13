"""What each stage needs as the data grows: memory and time at 2,000, 20,000 and 200,000 rows.

synthetic_table.py: the table and its pictures
scale_study.py: the stages over it, each as its own process
scale_page.py: docs/reports/scale-data.md

Not here: speed of the model (`bench`), search against size (`bench/ann_benchmark.py`).
"""
