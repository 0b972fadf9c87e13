"""The majority baseline: the most frequent answer of train, per question type."""

from collections import Counter, defaultdict
from collections.abc import Iterable

YES_NO = ("existence", "yes/no")  # the types in train, of our rules and of annotations, that POPE's are like


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
    """The majority answer to every triple; POPE questions, never trained on, take that of YES_NO; else
    empty."""
    polled = next((by_type[kind] for kind in YES_NO if kind in by_type), "")
    return [
        by_type.get(triple["type"], polled if triple["type"].startswith("pope_") else "")
        for triple in triples
    ]
