"""Image towers of every family at three sizes each: do they run, train, export and explain?

towers_study.py: the towers, and what each is put through
towers_page.py: docs/reports/towers.md

Not here: the towers (`models/vision`) and their equality with the libraries, which tests hold.
"""
