"""Ratios of counts that also hold for arrays of resampled counts."""

import numpy as np

Counts = dict[str, np.ndarray]


def share(numerator: np.ndarray, denominator: np.ndarray, scale: float = 100.0) -> np.ndarray:
    """scale * numerator / denominator, elementwise; 0 where the denominator is 0 (as scikit-learn's
    zero_division=0: a model that never says yes has precision 0)."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return scale * np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
