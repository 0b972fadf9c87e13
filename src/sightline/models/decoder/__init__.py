"""The decoders. The folder is the registry: `decoder.tower: <name>` is the file here, with `build(config)`.

cross_attention.py: our own: a decoder whose cross-attention reads image and question; the default
hf.py: a causal language model of transformers, which reads image and question before its answer

Not here: training (`train/finetune.py`), low-rank adapters (`train/lora.py`), graphs (`export`).
"""
