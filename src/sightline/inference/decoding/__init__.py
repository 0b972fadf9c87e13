"""The decoding methods: how the next token is chosen. A file a method, each a function of an engine.

token_loop.py: the loop that greedy search, sampling and streaming share
greedy.py: the likeliest token
sampling.py: temperature and nucleus (top p)
beam.py: beam search
contrastive.py: VCD and PAI: against a second view
clip_guided.py: several candidates of a description, written together

Not here: which method is used by default (`core/params/generation.py`), SPIN itself (`spin/gate.py`).
"""
