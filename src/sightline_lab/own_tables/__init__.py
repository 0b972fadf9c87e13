"""From `sightline init` to the first search result on tables that are not this project's.

own_table_study.py: the commands of a user over one table, each timed
own_table_page.py: metrics/own_tables.json as docs/reports/own-tables.md

Not here: the tables (`sightline_lab.catalogue` draws one), what the commands do (`sightline.cli`).
"""
