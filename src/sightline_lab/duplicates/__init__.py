"""How well near-duplicates are told from look-alikes: on a rendered catalogue and on photos.

duplicates_study.py: planted copies, what is found of them and what is left out wrongly
duplicates_page.py: docs/reports/duplicates.md

Not here: the detection (`data/questions/near_duplicates.py`), the catalogue (`catalogue`).
"""
