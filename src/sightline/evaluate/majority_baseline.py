"""The majority baseline: the most frequent answer of train, per question type."""

from collections import Counter, defaultdict
from collections.abc import Iterable

TYPE_IN_TRAIN = {"pope_random": "existence", "pope_popular": "existence", "pope_adversarial": "existence"}


def majority(train: Iterable[dict]) -> dict[str, str]:
    """Question type -> most frequent answer among `train` triples; of equal counts the alphabetically
    first."""
    counters: dict[str, Counter] = defaultdict(Counter)
    for triple in train:
        counters[triple["type"]][triple["answer"]] += 1
    return {
        kind: min(counter, key=lambda answer: (-counter[answer], answer))
        for kind, counter in counters.items()
    }


def answers(triples: list[dict], by_type: dict[str, str]) -> list[str]:
    """The majority answer to every triple; POPE questions, never trained on, take existence's; else empty."""
    return [
        by_type.get(triple["type"], by_type.get(TYPE_IN_TRAIN.get(triple["type"], ""), ""))
        for triple in triples
    ]
