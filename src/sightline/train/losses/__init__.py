"""The losses, each a pure function with its paper. A contrastive loss is a file with
`loss(image_BE, text_BE, logit_scale, gather)`; `align.loss: <name>` chooses it by the file's name (info_nce,
siglip). The others are always part of their task.

info_nce.py: the contrastive loss of CLIP
siglip.py: the sigmoid loss of SigLIP
word_in_patch.py: does some patch show this caption word
matching.py: image-text matching with hard negatives (ALBEF)
masked_tokens.py: masked-language modelling (BERT)

Not here: how a loss is weighed and combined (`train/tasks`), its temperature (`align.temperature`).
"""
