"""Speed and size: every form of the model beside other libraries, training throughput, search at a million.

run_bench.py: the benchmark
bench_models.py: the models that are timed
workloads.py: the tasks that are timed
paired_timing.py: pairs in turn
external_baselines.py: Hugging Face, open_clip
cold_start.py: from process start to the first answer
spin_overhead.py: overhead of SPIN
explanation_cost.py: cost of an explanation
training_throughput.py: training against open_clip
training_process.py: one such process
ann_benchmark.py: search against size
cold_search.py: from process start to the first search result
ann_page.py: docs/reports/search-speed.md
bench_page.py: docs/reports/bench.md

Not here: the server over HTTP (`load_test`), counted costs (`compress/model_cost.py`).
"""
