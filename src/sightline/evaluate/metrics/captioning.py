"""Descriptions against reference captions: BLEU-1 to 4 of the corpus, and CIDEr-D.

BLEU: Papineni et al. 2002 (https://aclanthology.org/P02-1040), clipped n-gram precisions and the brevity
penalty over all descriptions together. CIDEr-D: data.cider. Words are those of normalize_answers.words: lower
case, without punctuation.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from sightline.data.cider import ORDERS, CiderD, Ngrams, ngrams
from sightline.evaluate.metrics.normalize_answers import words
from sightline.evaluate.metrics.ratios import Counts, share


def corpus_counts(descriptions: Sequence[str], references: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """Counts of every description, one per picture, against all references of its picture.

    Not one by one, since an n-gram's weight in CIDEr-D comes from the references of all pictures.
    """
    description_words = [words(text) for text in descriptions]
    reference_words = [[words(text) for text in texts] for texts in references]
    cider = CiderD(reference_words)
    return [
        {"described": 1.0, "cider": cider.score(predicted, texts), **_bleu(predicted, texts)}
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


def _bleu(predicted: list[str], references: list[list[str]]) -> dict[str, float]:
    """Clipped matches and n-grams of each length, words, and words of the reference closest in length (of
    two, the shorter)."""
    closest = min((abs(len(text) - len(predicted)), len(text)) for text in references)[1]
    counts = {"words": float(len(predicted)), "reference_words": float(closest)}
    for order in ORDERS:
        written = ngrams(predicted, order)
        most = Ngrams()
        for text in references:
            most |= ngrams(text, order)
        counts[f"match_{order}"] = float((written & most).total())
        counts[f"ngrams_{order}"] = float(written.total())
    return counts
