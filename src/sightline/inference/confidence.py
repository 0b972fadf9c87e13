"""What a short answer's probability is worth: made honest by one temperature, and sure above one bound.

Both are fitted on answers to questions of `val` and travel with the model. N answers.
"""

from typing import TypeVar

import numpy as np
from pydantic import Field

from sightline.core.params.checks import Settings
from sightline.inference.drift import Histogram

Probability = TypeVar("Probability", float, np.ndarray)


class Confidence(Settings):
    """`temperature` of `calibrated`; `sure_above`: above it a short answer is sure (None: no bound);
    `reference`: the confidences of val (None: an older bundle, or too few)."""

    temperature: float = Field(gt=0, allow_inf_nan=False)
    sure_above: float | None = Field(allow_inf_nan=False)
    reference: Histogram | None = None


NOT_FITTED = Confidence(temperature=1.0, sure_above=None)
SHARPEST, FLATTEST = 0.05, 20.0  # temperatures beyond these say that the model knows nothing or everything
_HALVINGS = 60
_EDGE = 1e-12  # a probability this close to 0 or 1 would have infinite log-odds


def calibrated(probability: Probability, temperature: float) -> Probability:
    """`probability` with its log-odds divided by `temperature`: for a question of two answers that is
    temperature scaling (Guo et al. 2017, arXiv 1706.04599). Keeps the order, 0, 1/2 and 1."""
    if temperature == 1.0:
        return probability
    right, wrong = probability ** (1.0 / temperature), (1.0 - probability) ** (1.0 / temperature)
    return right / (right + wrong)


def fit_temperature(probability_N: np.ndarray, right_N: np.ndarray) -> float:
    """The temperature under which these answers, right or wrong, are likeliest; in [SHARPEST, FLATTEST].

    The log-likelihood is concave in 1 / temperature, so halving where its slope changes sign finds it.
    """
    p_N = np.clip(np.asarray(probability_N, np.float64), _EDGE, 1.0 - _EDGE)
    odds_N, right_N = np.log(p_N) - np.log1p(-p_N), np.asarray(right_N, np.float64)
    low, high = 1.0 / FLATTEST, 1.0 / SHARPEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        # Not a dot product: the last bits of one depend on the processor, and so would the temperature's.
        too_sharp = float(np.sum(odds_N * (1.0 / (1.0 + np.exp(-middle * odds_N)) - right_N))) > 0.0
        low, high = (low, middle) if too_sharp else (middle, high)
    return 2.0 / (low + high)


def sure_above(confidence_N: np.ndarray, right_N: np.ndarray, accuracy: float) -> float:
    """The lowest bound such that the answers with more confidence are right in `accuracy` percent or more
    (selective classification, Geifman and El-Yaniv 2017, arXiv 1705.08500, without their margin); 1 where
    no bound reaches that, so that nothing is sure."""
    order = np.argsort(-np.asarray(confidence_N), kind="stable")
    confidence_N, right_N = np.asarray(confidence_N, np.float64)[order], np.asarray(right_N)[order]
    last = np.append(confidence_N[1:] < confidence_N[:-1], True)  # equals are kept or left out together
    share_N = np.cumsum(right_N) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(last & (100.0 * share_N >= accuracy))
    if not len(enough):
        return 1.0
    kept = int(enough[-1]) + 1
    return float(confidence_N[kept]) if kept < len(order) else 0.0
