"""What the loop trains: a task makes batches, computes the losses of a step and the metric on val.

mlm.py: masked words on the text tower
alignment.py: image and text: contrastive, word-in-patch, matching
vqa.py: answers and descriptions by the decoder
self_critical.py: descriptions by their CIDEr-D

Not here: the losses themselves (`train/losses`), the entry points that build models and call the loop
(`train/align.py`, ...).
"""
