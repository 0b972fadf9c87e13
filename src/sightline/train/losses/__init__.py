"""The losses, each a pure function with its paper. The folder is the registry: `align.loss: <name>` is the
file here.

info_nce.py: the contrastive loss of CLIP
siglip.py: the sigmoid loss of SigLIP
word_in_patch.py: does some patch show this caption word
matching.py: image-text matching with hard negatives (ALBEF)
masked_tokens.py: masked-language modelling (BERT)

Not here: how a loss is weighed and combined (`train/tasks`), its temperature (`align.temperature`).
"""
