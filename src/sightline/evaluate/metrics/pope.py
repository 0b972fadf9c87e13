"""POPE: polling-based object probing (arXiv 2305.10355), yes/no questions on present and absent objects.

An answer that has neither yes nor no is `invalid`: counted as wrong, and the denominators of accuracy,
recall, yes rate and false-positive rate stay what they were (the published SPIN code drops such rows).
"""

import numpy as np

from sightline.evaluate.metrics.normalize_answers import yes_no
from sightline.evaluate.metrics.ratios import Counts, share

_KEYS = ("tp", "fp", "tn", "fn", "invalid_present", "invalid_absent")


def item_counts(answer: str, prediction: str) -> dict[str, float]:
    """Counts of one question; `answer` is the truth, 'yes' or 'no'."""
    truth, predicted = yes_no(answer), yes_no(prediction)
    if truth == "invalid":
        raise ValueError(
            f"POPE truth is {answer!r}; expected yes or no. Rebuild data/vqa with `dvc repro convert`."
        )
    if predicted == "invalid":
        key = "invalid_present" if truth == "yes" else "invalid_absent"
    else:
        key = {("yes", "yes"): "tp", ("no", "yes"): "fp", ("no", "no"): "tn", ("yes", "no"): "fn"}[
            truth, predicted
        ]
    return {name: float(name == key) for name in _KEYS}


def sample_size(c: Counts) -> np.ndarray:
    """Number of questions, invalid answers included."""
    return c["tp"] + c["fp"] + c["tn"] + c["fn"] + c["invalid_present"] + c["invalid_absent"]


def _present(c: Counts) -> np.ndarray:
    return c["tp"] + c["fn"] + c["invalid_present"]


def _absent(c: Counts) -> np.ndarray:
    return c["tn"] + c["fp"] + c["invalid_absent"]


def _f1(c: Counts) -> np.ndarray:
    return share(2 * c["tp"], c["tp"] + c["fp"] + _present(c))


def _mcc(c: Counts) -> np.ndarray:
    """Matthews correlation, 100 times; with invalid answers as a third predicted class (Gorodkin's R_K,
    2004), which is the usual coefficient when there are none and 0 for a model that only gives invalid
    answers."""
    total, correct = sample_size(c), c["tp"] + c["tn"]
    predicted_yes, predicted_no = c["tp"] + c["fp"], c["tn"] + c["fn"]
    predicted_invalid = total - predicted_yes - predicted_no
    covariance = correct * total - predicted_yes * _present(c) - predicted_no * _absent(c)
    spread = (total**2 - predicted_yes**2 - predicted_no**2 - predicted_invalid**2) * (
        total**2 - _present(c) ** 2 - _absent(c) ** 2
    )
    return share(covariance, np.sqrt(np.maximum(spread, 0.0)))


FIGURES = {
    "accuracy": lambda c: share(c["tp"] + c["tn"], sample_size(c)),
    "precision": lambda c: share(c["tp"], c["tp"] + c["fp"]),
    "recall": lambda c: share(c["tp"], _present(c)),
    "f1": _f1,
    "yes_rate": lambda c: share(c["tp"] + c["fp"], sample_size(c)),
    "false_positive_rate": lambda c: share(c["fp"], _absent(c)),
    "mcc": _mcc,
    "invalid": lambda c: share(c["invalid_present"] + c["invalid_absent"], sample_size(c)),
}
