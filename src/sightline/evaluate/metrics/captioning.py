"""Descriptions against reference captions: BLEU-1 to 4 of the corpus, and CIDEr-D.

BLEU: Papineni et al. 2002 (https://aclanthology.org/P02-1040), clipped n-gram precisions and the brevity
penalty over all descriptions together. CIDEr-D: Vedantam et al. 2015 (arXiv 1411.5726, equation 4), n-grams
weighted by how few pictures' references have them, in hundredths as papers print it. Words are those of
normalize_answers.words: lower case, without punctuation.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from sightline.evaluate.metrics.normalize_answers import words
from sightline.evaluate.metrics.ratios import Counts, share

ORDERS = (1, 2, 3, 4)
_SIGMA = 6.0  # words of length difference: the width of CIDEr-D's penalty
_CIDER_SCALE = 10.0 * 100.0  # the paper's factor, in hundredths

Ngrams = Counter[tuple[str, ...]]


def corpus_counts(descriptions: Sequence[str], references: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """Counts of every description, one per picture, against all references of its picture.

    Not one by one, since an n-gram's weight in CIDEr-D comes from the references of all pictures.
    """
    description_words = [words(text) for text in descriptions]
    reference_words = [[words(text) for text in texts] for texts in references]
    rarity = _rarity(reference_words)
    return [
        {"described": 1.0, "cider": _cider(predicted, texts, rarity), **_bleu(predicted, texts)}
        for predicted, texts in zip(description_words, reference_words, strict=True)
    ]


def bleu(counts: Counts, order: int) -> np.ndarray:
    """BLEU of n-grams up to `order`, percent; 0 where an n-gram length has no match."""
    precisions = np.array([share(counts[f"match_{n}"], counts[f"ngrams_{n}"], 1.0) for n in ORDERS[:order]])
    matched = (precisions > 0).all(axis=0)
    mean = np.exp(np.log(np.where(precisions > 0, precisions, 1.0)).mean(axis=0))
    longer = share(counts["reference_words"], counts["words"], 1.0)
    return 100.0 * np.where(matched, mean * np.exp(np.minimum(0.0, 1.0 - longer)), 0.0)


FIGURES: dict[str, Callable[[Counts], np.ndarray]] = {
    **{f"bleu_{order}": partial(bleu, order=order) for order in ORDERS},
    "cider_d": lambda counts: share(counts["cider"], counts["described"], 1.0),
}


def sample_size(counts: Counts) -> np.ndarray:
    """Number of descriptions."""
    return counts["described"]


def _ngrams(text: list[str], order: int) -> Ngrams:
    return Counter(tuple(text[i : i + order]) for i in range(len(text) - order + 1))


def _bleu(predicted: list[str], references: list[list[str]]) -> dict[str, float]:
    """Clipped matches and n-grams of each length, words, and words of the reference closest in length (of
    two, the shorter)."""
    closest = min((abs(len(text) - len(predicted)), len(text)) for text in references)[1]
    counts = {"words": float(len(predicted)), "reference_words": float(closest)}
    for order in ORDERS:
        ngrams = _ngrams(predicted, order)
        most: Ngrams = Counter()
        for text in references:
            most |= _ngrams(text, order)
        counts[f"match_{order}"] = float((ngrams & most).total())
        counts[f"ngrams_{order}"] = float(ngrams.total())
    return counts


def _rarity(references: list[list[list[str]]]) -> tuple[float, Ngrams]:
    """Logarithm of the number of pictures, and in how many pictures' references each n-gram is."""
    pictures: Ngrams = Counter()
    for texts in references:
        pictures.update({ngram for text in texts for order in ORDERS for ngram in _ngrams(text, order)})
    return math.log(len(references)), pictures


def _cider(predicted: list[str], references: list[list[str]], rarity: tuple[float, Ngrams]) -> float:
    total = 0.0
    for order in ORDERS:
        predicted_weights, length = _weighted(predicted, order, rarity)
        for text in references:
            reference_weights, reference_length = _weighted(text, order, rarity)
            if length and reference_length:
                # Clipped, so that repeating a word that the reference has once gains nothing.
                product = sum(
                    min(weight, reference_weights[n]) * reference_weights[n]
                    for n, weight in predicted_weights.items()
                    if n in reference_weights
                )
                penalty = math.exp(-((len(predicted) - len(text)) ** 2) / (2 * _SIGMA**2))
                total += penalty * product / (length * reference_length)
    return _CIDER_SCALE * total / (len(ORDERS) * len(references))


def _weighted(
    text: list[str], order: int, rarity: tuple[float, Ngrams]
) -> tuple[dict[tuple[str, ...], float], float]:
    """Counts times rarity of the n-grams of one length, and the Euclidean length of that vector."""
    log_pictures, pictures = rarity
    weights = {
        ngram: count * (log_pictures - math.log(max(1, pictures[ngram])))
        for ngram, count in _ngrams(text, order).items()
    }
    return weights, math.sqrt(sum(weight**2 for weight in weights.values()))
