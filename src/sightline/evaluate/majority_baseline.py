"""The answer one would give without looking: the most frequent one of train, per question type."""

from collections import Counter, defaultdict
from collections.abc import Iterable

ALIKE = {"pope_random": "existence", "pope_popular": "existence", "pope_adversarial": "existence"}


def majority(train: Iterable[dict]) -> dict[str, str]:
    """Question type -> most frequent answer among `train` triples; of equal counts the alphabetically
    first."""
    seen: dict[str, Counter] = defaultdict(Counter)
    for triple in train:
        seen[triple["type"]][triple["answer"]] += 1
    return {
        kind: min(counter, key=lambda answer: (-counter[answer], answer)) for kind, counter in seen.items()
    }


def answers(triples: list[dict], by_type: dict[str, str]) -> list[str]:
    """The majority answer to every triple; POPE questions, never trained on, take existence's; else empty."""
    return [by_type.get(triple["type"], by_type.get(ALIKE.get(triple["type"], ""), "")) for triple in triples]
