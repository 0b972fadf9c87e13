"""CIDEr-D: how much a description says what several people say of the same picture.

Vedantam et al. 2015 (arXiv 1411.5726, equation 4): n-grams weighted by how few pictures' references have
them, in hundredths as papers print it. A text is a list of words.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

ORDERS = (1, 2, 3, 4)
_SIGMA = 6.0  # words of length difference: the width of the penalty
_SCALE = 10.0 * 100.0  # the paper's factor, in hundredths

Ngrams = Counter[tuple[str, ...]]


def ngrams(text: Sequence[str], order: int) -> Ngrams:
    """The n-grams of one length, counted."""
    return Counter(tuple(text[i : i + order]) for i in range(len(text) - order + 1))


class CiderD:
    """The measure, with the weights that n-grams have among the references of many pictures."""

    def __init__(self, references: Iterable[Sequence[Sequence[str]]]) -> None:
        """references: for every picture its texts."""
        self._pictures, count = Ngrams(), 0
        for texts in references:
            self._pictures.update({ngram for text in texts for n in ORDERS for ngram in ngrams(text, n)})
            count += 1
        self._log_pictures = math.log(count) if count else 0.0

    def score(self, text: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """Of one text against the references of its picture: 0 if they share nothing, 1000 if all are
        equal."""
        total = 0.0
        for order in ORDERS:
            weights, length = self._weighted(text, order)
            for reference in references:
                reference_weights, reference_length = self._weighted(reference, order)
                if length and reference_length:
                    # Clipped, so that repeating a word that the reference has once gains nothing.
                    product = sum(
                        min(weight, reference_weights[n]) * reference_weights[n]
                        for n, weight in weights.items()
                        if n in reference_weights
                    )
                    penalty = math.exp(-((len(text) - len(reference)) ** 2) / (2 * _SIGMA**2))
                    total += penalty * product / (length * reference_length)
        return _SCALE * total / (len(ORDERS) * len(references))

    def _weighted(self, text: Sequence[str], order: int) -> tuple[dict[tuple[str, ...], float], float]:
        """Counts times rarity of the n-grams of one length, and the Euclidean length of that vector."""
        weights = {
            ngram: count * (self._log_pictures - math.log(max(1, self._pictures[ngram])))
            for ngram, count in ngrams(text, order).items()
        }
        return weights, math.sqrt(sum(weight**2 for weight in weights.values()))
