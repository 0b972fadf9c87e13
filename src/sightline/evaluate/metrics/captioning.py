"""Descriptions against reference captions: BLEU-1 to 4 of the corpus, and CIDEr-D.

BLEU: Papineni et al. 2002 (https://aclanthology.org/P02-1040), clipped n-gram precisions and the brevity
penalty over all descriptions together. CIDEr-D: Vedantam et al. 2015 (arXiv 1411.5726, equation 4), n-grams
weighted by how few pictures' references hold them, in hundredths as papers print it. Words are those of
answers.words: lower case, without punctuation.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from sightline.evaluate.metrics.normalize_answers import words
from sightline.evaluate.metrics.ratios import Counts, share

ORDERS = (1, 2, 3, 4)
_SIGMA = 6.0  # words of length difference: the width of CIDEr-D's penalty
_CIDER_SCALE = 10.0 * 100.0  # the paper's factor, in hundredths

Ngrams = Counter[tuple[str, ...]]


def tallies(said: Sequence[str], references: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """Counts of every description, one per picture, beside all references of its picture.

    Not one by one, since an n-gram's weight in CIDEr-D comes from the references of all pictures.
    """
    written = [words(text) for text in said]
    known = [[words(text) for text in texts] for texts in references]
    rarity = _rarity(known)
    return [
        {"described": 1.0, "cider": _cider(own, texts, rarity), **_bleu(own, texts)}
        for own, texts in zip(written, known, strict=True)
    ]


def bleu(counts: Counts, order: int) -> np.ndarray:
    """BLEU of n-grams up to `order`, percent; 0 where an n-gram length has no match."""
    precisions = np.array([share(counts[f"match_{n}"], counts[f"ngrams_{n}"], 1.0) for n in ORDERS[:order]])
    matched = (precisions > 0).all(axis=0)
    mean = np.exp(np.log(np.where(precisions > 0, precisions, 1.0)).mean(axis=0))
    longer = share(counts["reference_words"], counts["words"], 1.0)
    return 100.0 * np.where(matched, mean * np.exp(np.minimum(0.0, 1.0 - longer)), 0.0)


FIGURES = {
    **{f"bleu_{order}": (lambda counts, order=order: bleu(counts, order)) for order in ORDERS},
    "cider_d": lambda counts: share(counts["cider"], counts["described"], 1.0),
}


def asked(counts: Counts) -> np.ndarray:
    """Number of descriptions."""
    return counts["described"]


def _ngrams(text: list[str], order: int) -> Ngrams:
    return Counter(tuple(text[i : i + order]) for i in range(len(text) - order + 1))


def _bleu(own: list[str], references: list[list[str]]) -> dict[str, float]:
    """Clipped matches and n-grams of each length, words, and words of the reference closest in length (of
    two, the shorter)."""
    closest = min((abs(len(text) - len(own)), len(text)) for text in references)[1]
    counts = {"words": float(len(own)), "reference_words": float(closest)}
    for order in ORDERS:
        found, most = _ngrams(own, order), Counter()
        for text in references:
            most |= _ngrams(text, order)
        counts[f"match_{order}"] = float((found & most).total())
        counts[f"ngrams_{order}"] = float(found.total())
    return counts


def _rarity(references: list[list[list[str]]]) -> tuple[float, Ngrams]:
    """Logarithm of the number of pictures, and in how many pictures' references each n-gram is."""
    pictures: Ngrams = Counter()
    for texts in references:
        pictures.update({ngram for text in texts for order in ORDERS for ngram in _ngrams(text, order)})
    return math.log(len(references)), pictures


def _cider(own: list[str], references: list[list[str]], rarity: tuple[float, Ngrams]) -> float:
    total = 0.0
    for order in ORDERS:
        mine, length = _weighted(own, order, rarity)
        for text in references:
            theirs, other_length = _weighted(text, order, rarity)
            if length and other_length:
                # Clipped, so that repeating a word that the reference has once gains nothing.
                product = sum(min(weight, theirs[n]) * theirs[n] for n, weight in mine.items() if n in theirs)
                penalty = math.exp(-((len(own) - len(text)) ** 2) / (2 * _SIGMA**2))
                total += penalty * product / (length * other_length)
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
