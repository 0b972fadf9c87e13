"""A smaller dense model from a trained one: which heads and neurons go, the cut, and the recovery.

prune_and_recover.py: the entry point of the stage
structured_pruning.py: importance of heads and neurons, and the cut
spin_importance.py: heads that SPIN nearly always silences
distillation.py: the recovery: learns answers and the whole model's logits
model_cost.py: weights, bytes, multiply-accumulates

Not here: quantization to int8 and int4 (`export`), the comparison of criteria (`sightline_lab/pruning`).
"""
