"""Yes/no questions about a photo: does it show an object? Hard negatives, and the three POPE polls.

POPE: Li et al. 2023, https://arxiv.org/abs/2305.10355 (absent classes drawn at random, by frequency
and, adversarially, by co-occurrence with the classes that are present).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sightline.data.questions.object_lexicon import EXISTENCE_KINDS, OBJECT_CLASSES, POPE, ancestors
from sightline.data.questions.object_mentions import Caption, absent
from sightline.data.questions.word_lists import COLORS, SIMILAR_COLORS

EXISTENCE_NAMES = tuple(
    name for name, object_class in OBJECT_CLASSES.items() if object_class.kind in EXISTENCE_KINDS
)
POPE_NAMES = frozenset(name for name, object_class in OBJECT_CLASSES.items() if object_class.kind in POPE)
ROW_OF = {name: position for position, name in enumerate(EXISTENCE_NAMES)}
PAIRS = 2
KINDS = ("cooccurrence", "cooccurrence", "popular", "random")


class Statistics:
    """Counts over the training captions: how often classes are present, absent, and present together."""

    def __init__(self) -> None:
        size = len(EXISTENCE_NAMES)
        self.present_N = np.zeros(size, dtype=np.int64)
        self.absent_N = np.zeros(size, dtype=np.int64)
        self.together_NN = np.zeros((size, size), dtype=np.int64)
        self.colors: Counter[tuple[str, str]] = Counter()

    def add(self, captions: Sequence[Caption]) -> None:
        """Count one training image."""
        here, gone = present(captions), missing(captions)
        rows = [ROW_OF[name] for name in here]
        self.present_N[rows] += 1
        self.absent_N[[ROW_OF[name] for name in gone]] += 1
        self.together_NN[np.ix_(rows, rows)] += 1
        for caption in captions:
            for mention in caption.mentions:
                if mention.color and " " not in mention.color:
                    self.colors[mention.name, mention.color] += 1
                    self.colors["", mention.color] += 1

    def merge(self, part: "Statistics") -> None:
        """Add the counts of further images."""
        self.present_N += part.present_N
        self.absent_N += part.absent_N
        self.together_NN += part.together_NN
        self.colors.update(part.colors)


def present(captions: Sequence[Caption]) -> dict[str, tuple[int, list[int]]]:
    """Classes that at least two captions (or the only one) name as a noun, directly or by a kind of it.

    Returns name -> (caption, characters) of the first of them.
    """
    spans_of: dict[str, dict[int, list[int]]] = {}
    for index, caption in enumerate(captions):
        for mention in caption.mentions:
            if mention.head and mention.real:
                for name in {mention.name} | ancestors(mention.name):
                    if name in ROW_OF:
                        spans_of.setdefault(name, {}).setdefault(
                            index, caption.span(mention.start, mention.end)
                        )
    need = min(2, len(captions))
    return {name: min(spans.items()) for name, spans in sorted(spans_of.items()) if len(spans) >= need}


def missing(captions: Sequence[Caption]) -> list[str]:
    """Classes for yes/no questions that are safely absent."""
    gone = absent(captions)
    return [name for name in EXISTENCE_NAMES if name in gone]


def question(name: str) -> str:
    """Is there a dog? Is there snow?"""
    article = "" if OBJECT_CLASSES[name].mass else "an " if name[0] in "aeiou" else "a "
    return f"Is there {article}{name}?"


def existence(captions: Sequence[Caption], statistics: Statistics, rng: np.random.Generator) -> list[dict]:
    """At most PAIRS questions with yes and as many with no.

    A class is drawn the less often, the rarer the other answer is for it: the question alone tells little.
    """
    here, gone = present(captions), missing(captions)
    both_N = np.minimum(statistics.present_N, statistics.absent_N)
    yes_weights = [both_N[ROW_OF[name]] / max(1, statistics.present_N[ROW_OF[name]]) for name in here]
    yes_names = _draw(list(here), yes_weights, PAIRS, rng)
    no_names: dict[str, str] = {}
    for _ in yes_names:
        kind = KINDS[rng.integers(len(KINDS))]
        rest = [name for name in gone if name not in no_names]
        weights = _weights(kind, rest, list(here), statistics)
        balance = [both_N[ROW_OF[name]] / max(1, statistics.absent_N[ROW_OF[name]]) for name in rest]
        for name in _draw(rest, [w * b for w, b in zip(weights, balance, strict=True)], 1, rng):
            no_names[name] = kind
    pairs = min(len(yes_names), len(no_names))
    triples = [_yes("existence", "named_twice", name, here[name]) for name in yes_names[:pairs]]
    return triples + [_no("existence", name, kind) for name, kind in list(no_names.items())[:pairs]]


def pope(
    captions: Sequence[Caption], statistics: Statistics, rng: np.random.Generator, per_image: int
) -> list[dict]:
    """The three polls: `per_image` questions each, half of them yes; these are the same in all three."""
    here = {name: where for name, where in present(captions).items() if name in POPE_NAMES}
    gone = [name for name in missing(captions) if name in POPE_NAMES]
    pairs = min(per_image // 2, len(here), len(gone))
    yes_names = [str(name) for name in rng.permutation(sorted(here))[:pairs]]
    triples = []
    for kind in ("random", "popular", "adversarial"):
        weights = _weights("cooccurrence" if kind == "adversarial" else kind, gone, list(here), statistics)
        if kind == "random":
            no_names = [str(name) for name in rng.permutation(gone)[:pairs]]
        else:
            no_names = [gone[i] for i in np.argsort(-np.asarray(weights), kind="stable")[:pairs]]
        triples += [_yes(f"pope_{kind}", "named_twice", name, here[name]) for name in yes_names]
        triples += [_no(f"pope_{kind}", name, kind) for name in no_names]
    return triples


def attributes(
    colored: Sequence[dict], captions: Sequence[Caption], statistics: Statistics, rng: np.random.Generator
) -> list[dict]:
    """From a colour triple: Is there a brown dog? yes, and the same with a clearly different colour: no.

    The other colour is drawn by the frequency of the class's colours in the training captions.
    """
    colors = {COLORS[token] for caption in captions for token in caption.tokens if token in COLORS}
    triples = []
    for triple in colored:
        if OBJECT_CLASSES[triple["object"]].kind == "ground":
            continue
        object_colors = set(triple["answer"].split(" and "))
        near = colors.union(*(family for family in SIMILAR_COLORS if family & (object_colors | colors)))
        other_colors = sorted({color for _, color in statistics.colors} - near)
        total = statistics.colors.total()
        counts = statistics.colors
        weights = [counts[triple["object"], color] + counts["", color] / total for color in other_colors]
        for other in _draw(other_colors, weights, 1, rng):
            for color, answer in ((triple["answer"], "yes"), (other, "no")):
                article = "an" if color[0] in "aeiou" else "a"
                triples.append(
                    {
                        **triple, "type": "attribute", "rule": "color_" + answer, "answer": answer,
                        "question": f"Is there {article} {color} {triple['object']}?",
                    }
                )  # fmt: skip
    return triples


def _weights(kind: str, names: Sequence[str], here: Sequence[str], statistics: Statistics) -> list[float]:
    rows = [ROW_OF[name] for name in names]
    if kind == "random":
        return [1.0] * len(rows)
    if kind == "popular":
        return [float(n) for n in statistics.present_N[rows]]
    together = statistics.together_NN[np.ix_(rows, [ROW_OF[name] for name in here])].sum(axis=1)
    return [float(n) for n in together]


def _draw(names: Sequence[str], weights: Sequence[float], count: int, rng: np.random.Generator) -> list[str]:
    weights_N = np.asarray(weights, dtype=np.float64)
    possible = int((weights_N > 0).sum())
    if not possible:
        return []
    drawn = rng.choice(len(names), size=min(count, possible), replace=False, p=weights_N / weights_N.sum())
    return [names[i] for i in drawn]


def _yes(type_: str, rule: str, name: str, where: tuple[int, list[int]]) -> dict:
    return {
        "type": type_, "rule": rule, "question": question(name), "answer": "yes", "source": where[0],
        "span": where[1], "object": name,
    }  # fmt: skip


def _no(type_: str, name: str, kind: str) -> dict:
    return {
        "type": type_, "rule": f"absent_{kind}", "question": question(name), "answer": "no",
        "source": "all captions", "object": name, "negative": kind,
    }  # fmt: skip
