"""lab/safety/{development,test}.yaml as labelled questions, grouped by wording."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from ruamel.yaml import YAML

from sightline.core.params.checks import Settings
from sightline.serve.safety.policy import CATEGORIES

FOLDER = Path("lab/safety")
SPLITS = ("development", "test")  # paraphrases.yaml is a third file, which counts for no target
MOST = {"caught": 12, "hard": 8, "ordinary": 24}  # questions of one wording
SLOT = re.compile(r"\{(\w+)\}")
Wordings = Annotated[tuple[str | tuple[str, ...], ...], Field(strict=False)]


class QuestionSet(Settings):
    """A file: wordings with {slots}, by what they ask; a list of wordings is one family."""

    slots: dict[str, Annotated[tuple[str, ...], Field(strict=False)]]
    caught: dict[str, Wordings]
    hard: Wordings
    ordinary: Wordings


class Labelled(Settings):
    """`category`: what the question asks about a person, None for an ordinary one; `group`: `caught`, `hard`
    or `ordinary`; `family`: its wording."""

    text: str
    category: str | None
    group: str
    family: str


def read(root: Path, split: str) -> list[Labelled]:
    """The questions of a split, each once. Raises ValueError for a category or a slot that is not known."""
    path = root / FOLDER / f"{split}.yaml"
    document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    found = QuestionSet.model_validate(document, strict=False)
    if unknown := set(found.caught) - set(CATEGORIES):
        raise ValueError(f"{path}: caught: {', '.join(sorted(unknown))}: expected {', '.join(CATEGORIES)}")
    groups = [("caught", name, wordings) for name, wordings in found.caught.items()]
    groups += [("hard", None, found.hard), ("ordinary", None, found.ordinary)]
    questions: dict[str, Labelled] = {}
    for group, category, wordings in groups:
        for family in wordings:
            ways = (family,) if isinstance(family, str) else family
            for way in ways:
                for text in _filled(way, found.slots, MOST[group] // len(ways)):
                    labelled = Labelled(text=text, category=category, group=group, family=ways[0])
                    questions.setdefault(text, labelled)
    return list(questions.values())


def shared_wordings(root: Path) -> list[str]:
    """Wordings that stand in both files."""
    both = [{family for family in map(_first, _all(root, split))} for split in SPLITS]
    return sorted(both[0] & both[1])


def _all(root: Path, split: str) -> Iterator[str | tuple[str, ...]]:
    document = YAML(typ="safe", pure=True).load((root / FOLDER / f"{split}.yaml").read_text(encoding="utf-8"))
    found = QuestionSet.model_validate(document, strict=False)
    for wordings in (*found.caught.values(), found.hard, found.ordinary):
        for family in wordings:
            yield from (family,) if isinstance(family, str) else family


def _first(wording: str | tuple[str, ...]) -> str:
    return wording if isinstance(wording, str) else wording[0]


def _filled(wording: str, slots: dict[str, tuple[str, ...]], most: int) -> list[str]:
    """Up to `most` ways to fill the slots, spread evenly; a slot that stands twice gets two words."""
    names = SLOT.findall(wording)
    ways = [way for way in itertools.product(*(slots[name] for name in names)) if len(set(way)) == len(way)]
    chosen = np.unique(np.linspace(0, len(ways) - 1, min(most, len(ways))).round().astype(int))
    return [_fill(wording, ways[number]) for number in chosen]


def _fill(wording: str, words: tuple[str, ...]) -> str:
    left = iter(words)
    text = SLOT.sub(lambda match: next(left), wording)
    return text[0].upper() + text[1:] if text.endswith(("?", ".")) else text
