"""What comes of a pretrained dual encoder when it is tuned, for one that is made here, without a network.

small_checkpoints.py: a small CLIP and SigLIP that transformers trains and saves
tuning_study.py: step 0 against transformers; frozen, LoRA and whole against zero-shot
tuning_page.py: its figures as a page

Not here: the tuning itself (`train/align.py`), loading (`models/pretrained_dual_encoder.py`).
"""
