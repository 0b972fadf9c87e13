"""The metrics: pure functions from answers, ranks or confidences to figures, each with its paper.

vqa_accuracy.py: short answers
normalize_answers.py: how answers are compared
pope.py: POPE: yes/no on present and absent objects
chair.py: CHAIR: the objects a description names, and which of them are not in the picture
captioning.py: BLEU and CIDEr-D
retrieval.py: R@k and re-ranking
swapped_object.py: a caption against itself with one kind exchanged
calibration.py: expected calibration error, Brier
selective_prediction.py: accuracy against coverage
ratios.py: ratios of resampled counts

Not here: objects in captions that become questions (`data/questions/object_mentions.py`), intervals
(`evaluate/bootstrap.py`),
which questions a split has (`evaluate/split_contents.py`).
"""
