"""Hallucination rate and cost of decoding methods and trainings (lab/hallucination_*.yaml).

decoding_configs.py: reads the configs
decode_runner.py: one model decoded with many configs
parallel_runner.py: several models in several processes, resumable
gate_variants.py: gate rules beyond the published one
hallucination_study.py: chooses on val, reads test once
comparison.py: figures, rule of choice and verdicts, declared beforehand
hallucination_figures.py: picture
hallucination_page.py: page (templates/hallucination.md)

Not here: the decoding methods (`inference/decoding`), CHAIR and POPE (`evaluate/metrics`).
"""
