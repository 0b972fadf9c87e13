"""lab/safety/{development,test}.yaml as labelled questions, grouped by wording."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from ruamel.yaml import YAML

from sightline.core.params.checks import Settings
from sightline.serve.safety.policy import CATEGORIES

FOLDER = Path("lab/safety")
DEVELOPMENT = ("development", *(f"development_{number}" for number in range(2, 8)))
TEST, PARAPHRASES = ("test",), ("paraphrases",)
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


def read(root: Path, names: Sequence[str]) -> list[Labelled]:
    """The questions of some files, each once. Raises ValueError for an unknown category."""
    every = (question for name in names for question in _of_file(root / FOLDER / f"{name}.yaml"))
    return list({question.text: question for question in every}.values())


def wordings(root: Path, names: Sequence[str]) -> set[str]:
    """All wordings of some files."""
    return {
        wording
        for name in names
        for _, _, families in _groups(_file(root / FOLDER / f"{name}.yaml"))
        for family in families
        for wording in _ways(family)
    }


def _file(path: Path) -> QuestionSet:
    document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    found = QuestionSet.model_validate(document, strict=False)
    if unknown := set(found.caught) - set(CATEGORIES):
        raise ValueError(f"{path}: caught: {', '.join(sorted(unknown))}: expected {', '.join(CATEGORIES)}")
    return found


def _groups(found: QuestionSet) -> list[tuple[str, str | None, Sequence[str | tuple[str, ...]]]]:
    caught = [("caught", name, families) for name, families in found.caught.items()]
    return [*caught, ("hard", None, found.hard), ("ordinary", None, found.ordinary)]


def _ways(family: str | tuple[str, ...]) -> tuple[str, ...]:
    return (family,) if isinstance(family, str) else family


def _of_file(path: Path) -> Iterator[Labelled]:
    found = _file(path)
    for group, category, families in _groups(found):
        for ways in map(_ways, families):
            for way in ways:
                for text in _filled(way, found.slots, MOST[group] // len(ways)):
                    yield Labelled(text=text, category=category, group=group, family=ways[0])


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
