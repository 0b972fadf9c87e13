"""A search by `dvc exp run --queue` as a table and a picture.

experiment_table.py: reads `dvc exp show`
experiment_figures.py: the picture
experiment_page.py: docs/reports/search.md

Not here: ablations (`ablations`).
"""
