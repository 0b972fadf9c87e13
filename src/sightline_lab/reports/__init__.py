"""`sightline lab reports`: every published table, page and picture anew, after a default has changed.

report_plan.py: which command writes what, and its cost
run_reports.py: runs what is out of date, and remembers it

Not here: the studies themselves.
"""
