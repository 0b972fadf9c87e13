"""The command line: one file per group of commands. Nothing here imports torch; a verb that needs it
imports it when called.

main.py: `sightline`: collects the groups
app.py: the application and what commands share
ask.py: ask, search, domain
explain.py: explain, explain-match, explain-word, failures
serve.py: serve
index.py: index
analyse.py: analyse
checkout.py: params, estimate, demo, docs
doctor.py: doctor
diagnostics.py: the checks of doctor
checkout_files.py: where the checkout is, copies, cost of a rebuild
readme_tables.py: the measured tables of README and of docs/reports

Not here: what a command does (the room it calls), lab commands (`sightline_lab/cli`).
"""
