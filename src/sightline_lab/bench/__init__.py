"""Speed and size: every form of the model beside other libraries, training throughput, search at a million.

run_bench.py: the benchmark
bench_models.py: what is timed
workloads.py: what is measured on it
paired_timing.py: pairs in turn
external_baselines.py: Hugging Face, open_clip
cold_start.py: from nothing to the first answer
spin_overhead.py: what SPIN costs
explanation_cost.py: what explaining costs
training_throughput.py: training against open_clip
training_process.py: one such process
ann_benchmark.py: search against size
ann_page.py: docs/reports/search-speed.md
bench_page.py: docs/reports/bench.md

Not here: the server over HTTP (`load_test`), counted costs (`compress/model_cost.py`).
"""
