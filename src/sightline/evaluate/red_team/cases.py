"""What a family of attacks hands over: cases, and the questions they consist of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightline.evaluate.metrics.normalize_answers import same, yes_no

# (picture [Y, X, 3] uint8, zoom) -> the changed picture; `zoom`: the picture has so many pixels per pixel and
# side of the one that models read, since people see scenes more finely.
Change = Callable[[np.ndarray, int], np.ndarray]


class Untestable(ValueError):
    """A family that this data or this model cannot be attacked by; the message says why."""


@dataclass(frozen=True)
class Given:
    """An answer as a user gets it. `sure`: above the bundle's bound, and neither picture nor question gets a
    warning; `probability`: what the model itself gives it."""

    text: str
    confidence: float
    probability: float
    sure: bool


@dataclass(frozen=True)
class Ask:
    """A question about picture number `picture` of the split, which `change` alters first. `truths`: the
    right answers, none where no answer is right; `captions`: retrieved ones that are read with it."""

    picture: int
    question: str
    truths: tuple[str, ...]
    change: Change | None = None
    captions: tuple[str, ...] = ()

    def changed(self, change: Change) -> "Ask":
        return replace(self, change=change)

    def is_right(self, given: Given) -> bool:
        return any(same(truth, given.text) for truth in self.truths)


@dataclass(frozen=True)
class Case:
    """One attack. `original`: the question before it; `attack` and each of `controls`, in the order of the
    family's CONTROLS, are asked and judged alike. `goal`: the answer the attack wants, where it wants one."""

    original: Ask
    attack: tuple[Ask, ...]
    controls: tuple[tuple[Ask, ...], ...]
    goal: str = ""


def wrong(case: Case, asks: Sequence[Ask], given: Sequence[Given]) -> bool:
    """The answer is not right."""
    return not asks[0].is_right(given[0])


def surely_wrong(case: Case, asks: Sequence[Ask], given: Sequence[Given]) -> bool:
    """The answer is given as sure, and is not right."""
    return given[0].sure and not asks[0].is_right(given[0])


def goal_reached(case: Case, asks: Sequence[Ask], given: Sequence[Given]) -> bool:
    """The answer is the one that the attack wants."""
    return same(case.goal, given[0].text)


def all_affirmed(case: Case, asks: Sequence[Ask], given: Sequence[Given]) -> bool:
    """Every question is answered with yes."""
    return all(yes_no(one.text) == "yes" for one in given)
