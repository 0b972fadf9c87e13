"""CHAIR: caption hallucination assessment (Rohrbach et al., EMNLP 2018, arXiv 1809.02156).

CHAIR_i = mentions of absent objects / all object mentions; CHAIR_s = sentences with such a mention /
sentences. A mention is a surface form of the kept lexicon, longest first, singular or plural. Truth is the
scene graph; for photos it is what their five captions name, and the figures are then called caption-CHAIR.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sightline.evaluate.metrics.normalize_answers import words
from sightline.evaluate.metrics.ratios import Counts, share

_IRREGULAR = {
    "man": "men",
    "woman": "women",
    "person": "people",
    "child": "children",
    "foot": "feet",
    "mouse": "mice",
    "goose": "geese",
    "tooth": "teeth",
    "sheep": "sheep",
    "fish": "fish",
    "deer": "deer",
}


def plural(form: str) -> str:
    """English plural of a surface form; only its last word changes ('tennis racket' -> 'tennis rackets')."""
    *head, last = form.split(" ")
    for singular, many in _IRREGULAR.items():
        if last == singular or (last.endswith(singular) and singular in ("man", "woman", "child")):
            return " ".join([*head, last.removesuffix(singular) + many])
    if last.endswith("y") and last[-2:-1] not in ("a", "e", "i", "o", "u"):
        last = last[:-1] + "ies"
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    elif last.endswith(("knife", "wife", "life")):
        last = last[:-2] + "ves"
    elif last.endswith(("leaf", "loaf", "shelf", "wolf", "scarf", "half", "calf")):
        last = last[:-1] + "ves"
    else:
        last += "s"
    return " ".join([*head, last])


class Mention(NamedTuple):
    start: int  # word index
    stop: int  # one past the last word
    kind: str
    many: bool  # in the plural


class Lexicon:
    """Finds objects in text. `objects` maps a canonical kind to its surface forms (config.json of
    data/vqa)."""

    def __init__(self, objects: dict[str, Iterable[str]]):
        self._kinds: dict[tuple[str, ...], tuple[str, bool]] = {}
        for kind, forms in sorted(objects.items()):
            for form in [kind, *forms]:
                self._kinds.setdefault(tuple(words(form)), (kind, form in map(plural, [kind, *forms])))
                self._kinds.setdefault(tuple(words(plural(form.lower()))), (kind, True))
        self._longest = max((len(key) for key in self._kinds), default=0)

    def spans(self, text: str) -> list[Mention]:
        """Every mention, left to right, the longest form first."""
        tokens, mentions, start = words(text), [], 0
        while start < len(tokens):
            for stop in range(min(len(tokens), start + self._longest), start, -1):
                entry = self._kinds.get(tuple(tokens[start:stop]))
                if entry is not None:
                    mentions.append(Mention(start, stop, *entry))
                    start = stop
                    break
            else:
                start += 1
        return mentions

    def mentions(self, text: str) -> list[str]:
        """Kinds mentioned, in order, repeats kept."""
        return [mention.kind for mention in self.spans(text)]


def item_counts(prediction: str, present: set[str], lexicon: Lexicon) -> dict[str, float]:
    """Counts of one description, given the kinds that are in its picture."""
    mentions = lexicon.mentions(prediction)
    absent = sum(kind not in present for kind in mentions)
    return {
        "descriptions": 1.0,
        "hallucinating": float(absent > 0),
        "mentions": float(len(mentions)),
        "absent": float(absent),
        "present": float(len(present)),
        "named": float(len(present & set(mentions))),
        "words": float(len(words(prediction))),
    }


FIGURES = {
    "chair_s": lambda c: share(c["hallucinating"], c["descriptions"]),
    "chair_i": lambda c: share(c["absent"], c["mentions"]),
    "recall": lambda c: share(c["named"], c["present"]),
    "words": lambda c: share(c["words"], c["descriptions"], scale=1.0),
}


def sample_size(counts: Counts) -> np.ndarray:
    """Number of descriptions."""
    return counts["descriptions"]
