"""What is in the pictures: how often each thing, which go together, and how strongly one calls for another.

K: names of things, sorted. A scene says what it holds; of a photo its captions do, by the rules that also
make its questions (a thing counts when two captions name it, or the only one).
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from sightline.data.questions.existence_questions import present
from sightline.data.questions.object_lexicon import RELATIVES
from sightline.data.questions.object_mentions import parse_all
from sightline.evaluate.dataset_report.text_statistics import share

Z = 1.96  # of a 95 % interval
TOP = 20


def things(item: dict) -> set[str]:
    """Names of what is in the picture of an item."""
    if "scene" in item:
        return {thing["kind"] for thing in item["scene"]["objects"]}
    return set(present(parse_all(item["captions"])))


def counts(pictures: Sequence[set[str]], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(pictures with each thing [K], pictures with both of two things [K, K], diagonal zero), int64."""
    place = {name: index for index, name in enumerate(names)}
    alone_K = np.zeros(len(names), dtype=np.int64)
    both_KK = np.zeros((len(names), len(names)), dtype=np.int64)
    for held in pictures:
        rows = [place[name] for name in held]
        alone_K[rows] += 1
        both_KK[np.ix_(rows, rows)] += 1
    np.fill_diagonal(both_KK, 0)
    return alone_K, both_KK


def kin(a: str, b: str) -> bool:
    """Whether one is a kind of the other (a boy is a person), so that their going together tells nothing."""
    return b in RELATIVES.get(a, ())


def biases(alone_K: np.ndarray, both_KK: np.ndarray, total: int, names: Sequence[str]) -> list[dict]:
    """The strongest "given A, B is there", each unordered pair once, by its stronger direction.

    Strength: the lower end of the 95 % Wilson interval of P(B|A) (Wilson 1927) less P(B), so a pair seen
    three times does not come before one seen a thousand times. Pairs of no strength are left out.
    """
    best: dict[tuple[int, int], dict] = {}
    for a, b in zip(*np.nonzero(both_KK), strict=True):
        if kin(names[a], names[b]):
            continue
        found = bias(names[a], names[b], int(alone_K[a]), int(both_KK[a, b]), int(alone_K[b]), total)
        key = (min(a, b), max(a, b))
        if found["strength"] > 0 and found["strength"] > best.get(key, {"strength": 0.0})["strength"]:
            best[key] = found
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


def colors(items: Iterable[dict], kinds: Sequence[str], hues: Sequence[str]) -> dict[str, dict[str, int]]:
    """Kind -> colour -> number of objects, over scene graphs."""
    seen = Counter((thing["kind"], thing["color"]) for item in items for thing in item["scene"]["objects"])
    return {kind: {hue: seen[kind, hue] for hue in hues} for kind in kinds}
