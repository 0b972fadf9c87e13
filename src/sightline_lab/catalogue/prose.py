"""What a shop writes about a product: a title and a description of many forms, with what they claim.

A claim is a fact that the picture shows and the text states: kind, color, material, pattern, second color, or
`part: <name>`. What the text mentions although no picture shows it (what goes with it, other colours) is
listed apart: a reader of texts alone cannot know the difference.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sightline_lab.catalogue.products import Product, pick

NO_DESCRIPTION, NO_TITLE, HTML = 0.08, 0.01, 0.12  # shares of items
UPPER = 0.05
ASIDE = 0.3


@dataclass(frozen=True)
class Phrase:
    """A piece of text with what it says."""

    text: str
    claims: tuple[str, ...] = ()
    not_shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Text:
    """The texts of an item."""

    title: str
    description: str
    claims: tuple[str, ...]
    not_shown: tuple[str, ...]


class Language(Protocol):
    """How one language talks of products."""

    def titles(self, product: Product, noun: str) -> Sequence[Phrase]: ...

    def sentences(self, product: Product, noun: str, rng: np.random.Generator) -> Sequence[Phrase]: ...

    def details(self, product: Product, rng: np.random.Generator) -> Sequence[tuple[str, Phrase]]: ...

    def asides(self, product: Product, rng: np.random.Generator) -> Sequence[Phrase]: ...

    def nouns(self, product: Product) -> Sequence[str]: ...


def text(product: Product, language: Language, rng: np.random.Generator) -> Text:
    """Title and description of a product."""
    noun = pick(rng, language.nouns(product))
    title = pick(rng, language.titles(product, noun))
    lot = rng.random()
    description = _description(product, noun, language, rng) if lot >= NO_DESCRIPTION else []
    if lot > 1 - NO_TITLE:
        title = Phrase("")
    separator = pick(rng, ("<br>", "<br />")) if rng.random() < HTML else "\n"
    body = _joined(description, separator)
    name = title.text.upper() if rng.random() < UPPER else title.text
    if separator != "\n":
        name, body = html.escape(name, quote=True), _escaped(body, separator)
    phrases = [title, *description]
    claims = {claim for phrase in phrases for claim in phrase.claims}
    not_shown = [each for phrase in phrases for each in phrase.not_shown]
    return Text(name, body, tuple(sorted(claims)), tuple(not_shown))


def _description(product: Product, noun: str, language: Language, rng: np.random.Generator) -> list[Phrase]:
    """Sentences, lines of keys and values, or both."""
    form = rng.random()
    phrases: list[Phrase] = []
    if form < 0.8:
        pool = list(language.sentences(product, noun, rng))
        count = min(len(pool), int(rng.integers(1, 4)))
        chosen = sorted(int(each) for each in rng.choice(len(pool), count, replace=False))
        phrases += [pool[number] for number in chosen]
    if form >= 0.6:
        pairs = list(language.details(product, rng))
        kept = [pair for pair in pairs if rng.random() < 0.75] or pairs[:1]
        phrases += [Phrase(f"{key}: {phrase.text}\n", phrase.claims) for key, phrase in kept]
    if rng.random() < ASIDE:
        phrases.append(pick(rng, language.asides(product, rng)))
    return phrases


def _joined(phrases: list[Phrase], separator: str) -> str:
    """Sentences with blanks between them; each line of a key on its own."""
    text, after_line = "", False
    for phrase in phrases:
        line = phrase.text.endswith("\n")
        if text:
            text += separator if line or after_line else " "
        text += phrase.text.rstrip("\n")
        after_line = line
    return text


def _escaped(text: str, separator: str) -> str:
    return separator.join(html.escape(line, quote=True) for line in text.split(separator))
