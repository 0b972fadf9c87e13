"""Which captions and questions a step trains on: pure functions of (seed, step, item), the same in every
process."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from sightline.core.runtime import derive_seed
from sightline.data.questions.question_types import AUXILIARY, is_short
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items

OWN = ("existence", "attribute", "color", "size", "count", "relation", "what", "who", "where")  # of our rules
WEIGHTS = {"relation": 1.5, "count": 3.0, "attribute": 1.5}  # the harder a type, the more often drawn
FULL_CAPTION_SHARE = 0.5  # how often a scene's full description, which retrieval uses, is its caption
MIN_CORRELATION = 0.3  # on scenes kinds and colours have 0.9 and more, everything else 0.2 and less


def generator(seed: int, *names: str | int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, *names))


def usable(items: Items, lines: Mapping[int, list[int]]) -> np.ndarray:
    """Line numbers of the items that the convert stage kept (`lines`: its triples of each) and that have a
    picture."""
    return np.array([number for number in sorted(lines) if items[number]["image"]], dtype=np.int64)


def without_picture(items: Items, split: str) -> np.ndarray:
    """Line numbers of the split's items that have captions only."""
    numbers = [
        number for number in items.split(split) if not (item := items[number])["image"] and captions(item)
    ]
    return np.array(numbers, dtype=np.int64)


def captions(item: dict) -> list[str]:
    return [text for text in item["captions"] if text.strip()]


def caption(item: dict, rng: np.random.Generator) -> str:
    """A random caption; of a scene, half of the time the full description (its first)."""
    texts = captions(item)
    full = "scene" in item and rng.random() < FULL_CAPTION_SHARE
    return texts[0 if full else rng.integers(len(texts))]


def is_asked(kind: str, auxiliary: bool) -> bool:
    """Whether questions of a type are drawn as short ones."""
    return is_short(kind) and (auxiliary or kind not in AUXILIARY)


def questions(
    triples: Triples, lines: list[int], counts: tuple[int, int], auxiliary: bool, rng: np.random.Generator
) -> tuple[list[dict], list[dict]]:
    """Short questions of one item, and descriptions; counts: how many of each.

    The short ones are drawn without replacement by weight (Efraimidis and Spirakis 2006: the largest
    u ** (1 / w)). An item with fewer repeats them, one with none gives none.
    """
    drawn = [triples[line] for line in lines]
    describing = [triple for triple in drawn if triple["type"] == "describe"]
    short = [triple for triple in drawn if is_asked(triple["type"], auxiliary)]
    weights = np.array([WEIGHTS.get(triple["type"], 1.0) for triple in short])
    ranked = np.argsort(-(rng.random(len(short)) ** (1 / weights)), kind="stable")
    chosen = [short[i] for i in np.resize(ranked, counts[0])] if short else []
    if not describing or counts[1] == 1:
        return chosen, [describing[rng.integers(len(describing))]] if describing else []
    return chosen, [describing[i] for i in np.resize(rng.permutation(len(describing)), counts[1])]


def mirrored(seed: int, step: int, numbers: Iterable[int]) -> list[bool]:
    """Which pictures a step shows as in a mirror: half of all, at random."""
    return [bool(generator(seed, "mirror", step, int(number)).random() < 0.5) for number in numbers]


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def frequent_words(captions_of_items: Iterable[list[str]], limit: int) -> list[str]:
    """The `limit` words that occur in the captions of most items; ties by alphabet.

    Left out: words on which two captions of one picture hardly agree (correlation over the items below
    MIN_CORRELATION): those depend on the writer, not on the picture. Where every item has one caption,
    this cannot be measured, and all words stay.
    """
    counts, paired = Counter[str](), 0
    shares: dict[str, float] = defaultdict(float)
    pairs: dict[str, float] = defaultdict(float)
    for texts in captions_of_items:
        num, paired = len(texts), paired + (len(texts) > 1)
        for word, hits in Counter(word for text in texts for word in set(words_of(text))).items():
            counts[word] += 1
            if num > 1:
                shares[word] += hits / num
                pairs[word] += hits * (hits - 1) / (num * (num - 1))

    def agreed(word: str) -> bool:
        mean = shares[word] / paired
        spread = mean * (1 - mean)
        return spread > 0 and (pairs[word] / paired - mean**2) / spread >= MIN_CORRELATION

    kept = [word for word in counts if not paired or agreed(word)]
    return sorted(kept, key=lambda word: (-counts[word], word))[:limit]
