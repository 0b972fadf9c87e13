"""The upper bound of any model on this ground truth, through the same scorers.

Answers: an oracle that reads the truth, but must give one answer to one question about one picture (photos'
captions can disagree; scenes cannot). Retrieval: an oracle that knows every caption, limited by captions
that several pictures share, since ties count against the model.
"""

from collections import Counter, defaultdict

import numpy as np

from sightline.evaluate.metrics.vqa_accuracy import truths


def answers(triples: list[dict]) -> list[str]:
    """The oracle's answer to every triple: the most frequent truth of the same image and question."""
    counters: dict[tuple, Counter] = defaultdict(Counter)
    for triple in triples:
        counters[triple["image"], triple["question"]].update(truths(triple))
    return [
        min(counter, key=lambda answer: (-counter[answer], answer))
        for counter in (counters[triple["image"], triple["question"]] for triple in triples)
    ]


def similarity(texts: list[str], owner_T: np.ndarray, images: int) -> np.ndarray:
    """The oracle's [I, T]: 1 where the image has that very caption among its own, else 0."""
    captions_I: list[set[str]] = [set() for _ in range(images)]
    for text, owner in zip(texts, owner_T, strict=True):
        captions_I[owner].add(text)
    return np.array([[float(text in captions) for text in texts] for captions in captions_I])
