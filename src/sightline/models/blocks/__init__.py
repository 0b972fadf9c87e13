"""The model library: the textbooks' classes, thin wrappers of the pipeline's layers
(docs/guide/models.md).

base_model.py: save, load, count
attention_modules.py: attention mechanisms
feed_forward_modules.py: fully connected networks
linear_modules.py: linear layers
token_embeddings.py: tokens as vectors
positional_modules.py: positions
transformer_modules.py: encoders and decoders
multimodal_modules.py: a vision transformer and two multimodal ones

Not here: the layers themselves (`models/attention.py`, `models/layers.py`, ...). A new class is named in
`models/__init__.py`.
"""
