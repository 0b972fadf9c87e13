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


def ranks(texts: list[str], owner_T: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    """The ranks [I] and [T] (metrics.retrieval) of an oracle to which a text is like an image that has this
    very caption, and like no other."""
    captions_I: list[set[str]] = [set() for _ in range(images)]
    own_I: list[Counter[str]] = [Counter() for _ in range(images)]
    for text, owner in zip(texts, owner_T, strict=True):
        captions_I[owner].add(text)
        own_I[owner][text] += 1
    count = Counter(texts)
    having = Counter(text for captions in captions_I for text in captions)
    of_images = [
        1 + sum(count[text] - own[text] for text in captions)
        for captions, own in zip(captions_I, own_I, strict=True)
    ]
    return np.array(of_images), np.array([having[text] for text in texts])
