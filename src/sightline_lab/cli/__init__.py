"""The lab's commands: a file per study.

app.py: the group `lab`
main.py: what the entry point loads
ablations.py: study, experiments
hallucination.py: hallucination
faithfulness.py: faithfulness
faults.py: faults
bench.py: bench, pruning
catalogue.py: catalogue
ann_bench.py: search-bench
audit.py: audit
towers.py: towers
load_test.py: load
monitoring.py: monitoring
retrieval.py: retrieval
dual_encoder.py: dual-encoder
decoders.py: decoders
duplicates.py: duplicates
own_tables.py: own-tables
photos.py: photos, photo-results
safety.py: safety
scale.py: scale, plan
reports.py: reports

Not here: what a study does (its folder).
"""
