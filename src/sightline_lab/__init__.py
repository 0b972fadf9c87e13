"""The lab: experiments on Sightline itself, `sightline lab ...`. It imports the product; the product never
imports it, and the product's wheel does not hold it. Its configs are in lab/, its pages in docs/reports.

cli/: the commands
reports/: `sightline lab reports`: every published page anew
ablations/: contribution of each part
hallucination/: decoding methods and trainings against hallucination
faithfulness/: faithfulness of explanations
pruning/: criteria of pruning
retrieval/: answers beside captions of similar pictures
decoders/: our own decoder against a causal language model
duplicates/: near-duplicates against look-alikes
own_tables/: from `sightline init` to the first search on tables of others
photos/: answers about freely licensed photos
pretrained/: a pretrained dual encoder before and after tuning
towers/: image towers of every family at three sizes each
scale/: memory and time of the stages against the number of rows
faults/: promises of reliability, tried with random faults
safety/: errors of the safety filters
experiments/: a search by `dvc exp run --queue` as a table
bench/: speed
load_test/: the server under load
monitoring/: what the figures of a monitored server are worth
catalogue/: a rendered product catalogue with its truth
report_page.py: a page of docs/reports from its JSON
plotting.py: style of the SVG pictures

Not here: anything that a user of a model needs.
"""

import sightline  # noqa: F401  (before any module here: it turns the dependencies' telemetry off)
