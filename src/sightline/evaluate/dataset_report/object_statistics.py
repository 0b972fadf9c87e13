"""Objects in the pictures: frequencies, co-occurrence, and the strongest co-occurrence biases.

K: names of objects, sorted. A scene's graph lists its objects; another item's captions name them, by the
lexicon that also makes its questions (an object counts when two captions name it, or the only one).
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from sightline.data.questions.lexicon import Lexicon
from sightline.data.questions.object_lexicon import RELATIVES
from sightline.evaluate.dataset_report.text_statistics import share

Z = 1.96  # of a 95 % interval
TOP = 20


def object_names(item: dict, lexicon: Lexicon) -> set[str]:
    """Names of the objects in the picture of an item; the lexicon has counted the training items."""
    if "scene" in item:
        return {part["kind"] for part in item["scene"]["objects"]}
    return lexicon.shown(item["captions"], item.get("title", ""))


def counts(pictures: Sequence[set[str]], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(pictures with each object [K], pictures with both of two objects [K, K], diagonal zero), int64."""
    index_of = {name: index for index, name in enumerate(names)}
    alone_K = np.zeros(len(names), dtype=np.int64)
    both_KK = np.zeros((len(names), len(names)), dtype=np.int64)
    for present_names in pictures:
        rows = [index_of[name] for name in present_names]
        alone_K[rows] += 1
        both_KK[np.ix_(rows, rows)] += 1
    np.fill_diagonal(both_KK, 0)
    return alone_K, both_KK


def related(a: str, b: str) -> bool:
    """Whether one is a kind of the other (a boy is a person), so that their co-occurrence is no bias."""
    return b in RELATIVES.get(a, ())


def biases(alone_K: np.ndarray, both_KK: np.ndarray, total: int, names: Sequence[str]) -> list[dict]:
    """The strongest "given A, B is there", each unordered pair once, by its stronger direction.

    Strength: the lower end of the 95 % Wilson interval of P(B|A) (Wilson 1927) less P(B), so a pair seen
    three times does not come before one seen a thousand times. Pairs of no strength are left out.
    """
    best: dict[tuple[int, int], dict] = {}
    for a, b in zip(*np.nonzero(both_KK), strict=True):
        if related(names[a], names[b]):
            continue
        row = bias(names[a], names[b], int(alone_K[a]), int(both_KK[a, b]), int(alone_K[b]), total)
        key = (min(a, b), max(a, b))
        if row["strength"] > 0 and row["strength"] > best.get(key, {"strength": 0.0})["strength"]:
            best[key] = row
    return sorted(best.values(), key=lambda row: (-row["strength"], row["given"], row["then"]))[:TOP]


def bias(given: str, then: str, n_given: int, n_both: int, n_then: int, total: int) -> dict:
    """Counts and shares of one ordered pair; `lift` is P(B|A) / P(B)."""
    chance, base = n_both / n_given, n_then / total
    return {
        "given": given,
        "then": then,
        "pictures_given": n_given,
        "pictures_both": n_both,
        "share": share(n_both, n_given),
        "base": share(n_then, total),
        "lift": round(chance / base, 3),
        "strength": round(wilson_low(n_both, n_given) - base, 6),
    }


def wilson_low(hits: int, n: int) -> float:
    """Lower end of the 95 % Wilson interval of hits / n."""
    chance = hits / n
    middle = chance + Z * Z / (2 * n)
    spread = Z * (chance * (1 - chance) / n + Z * Z / (4 * n * n)) ** 0.5
    return (middle - spread) / (1 + Z * Z / n)


def colors(
    items: Iterable[dict], kinds: Sequence[str], color_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Kind -> colour -> number of objects, over scene graphs."""
    number = Counter((part["kind"], part["color"]) for item in items for part in item["scene"]["objects"])
    return {kind: {color: number[kind, color] for color in color_names} for kind in kinds}
