"""Finding the things that a caption names: token spans, number, colour, and whether the noun heads its phrase."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sightline.data.vqa.objects import RELATIVES, THINGS
from sightline.data.vqa.words import ADJECTIVES, COLORS, DETERMINERS, FOLLOWERS, ING_NOUNS, NUMBERS, VERB_FORMS

TOKEN = re.compile(r"'s|[a-z0-9]+(?:[-'][a-rt-z0-9][a-z0-9]*)*|[^\sa-z0-9]")
# "a toy dog", "a statue of a horse", "no ball": named, but not there.
UNREAL = frozenset(
    """no not without toy stuffed fake plastic inflatable statue picture painting photo drawing sculpture poster image
    mask costume like pretend imaginary cartoon balloon ice chocolate shaped print""".split()
)
MOTORS = frozenset("motocross motorcyclist motorcyclists motorized motor motorcross racer racers scooter atv".split())


def _index() -> dict[str, list[tuple[tuple[str, ...], str, bool]]]:
    index: dict[str, list[tuple[tuple[str, ...], str, bool]]] = {}
    for name, thing in THINGS.items():
        for form in thing.plurals:
            index.setdefault(form[0], []).append((form, name, True))
        for form in thing.singulars:
            index.setdefault(form[0], []).append((form, name, False))
    for forms in index.values():
        forms.sort(key=lambda entry: -len(entry[0]))
    return index


FORMS = _index()


@dataclass(frozen=True)
class Mention:
    """One thing named in one caption; `first` is the start of its noun phrase, `start:end` the noun itself (tokens)."""

    name: str
    first: int
    start: int
    end: int
    plural: bool
    head: bool
    real: bool
    color: str
    number: int


@dataclass(frozen=True)
class Caption:
    """A caption cut into lower-case tokens (with their character spans) and the things it names."""

    text: str
    tokens: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    mentions: tuple[Mention, ...]

    def span(self, start: int, end: int) -> list[int]:
        """Character span of the tokens start:end."""
        return [self.spans[start][0], self.spans[end - 1][1]]


def parse(text: str) -> Caption:
    """Tokens and mentions of a caption."""
    matches = list(TOKEN.finditer(text.lower()))
    tokens = tuple(match[0] for match in matches)
    mentions, position = [], 0
    while position < len(tokens):
        found = _at(tokens, position)
        if found:
            mentions.append(found)
        position = found.end if found else position + 1
    return Caption(text, tokens, tuple(match.span() for match in matches), tuple(mentions))


def parse_all(texts: Sequence[str]) -> list[Caption]:
    """Tokens and mentions of an image's captions; a bike among motorcycles is not taken for a bicycle."""
    captions = [parse(text) for text in texts]
    named = {mention.name for caption in captions for mention in caption.mentions}
    if "motorcycle" not in named and not MOTORS & words_of(captions):
        return captions
    return [
        replace(caption, mentions=tuple(m for m in caption.mentions if not _bike(caption, m))) for caption in captions
    ]


def words_of(captions: Sequence[Caption]) -> set[str]:
    """All tokens of an image's captions."""
    return {token for caption in captions for token in caption.tokens}


def absent(captions: Sequence[Caption]) -> set[str]:
    """Things that no caption names or hints at, nor a kind of them, nor what they are a kind of."""
    named = {mention.name for caption in captions for mention in caption.mentions}
    words = words_of(captions)
    return {
        name for name, thing in THINGS.items() if not RELATIVES[name] & named and not thing.hints & words
    }


def _bike(caption: Caption, mention: Mention) -> bool:
    return mention.name == "bicycle" and caption.tokens[mention.end - 1] in ("bike", "bikes")


def _at(tokens: tuple[str, ...], start: int) -> Mention | None:
    for form, name, plural in FORMS.get(tokens[start], ()):
        end = start + len(form)
        if tokens[start:end] != form:
            continue
        first, color, number = _left(tokens, start)
        before = tokens[max(0, first - 3) : start]
        return Mention(
            name, first, start, end, plural, _is_head(tokens, end), not UNREAL & set(before), color, number
        )
    return None


def _is_head(tokens: tuple[str, ...], end: int) -> bool:
    if end == len(tokens) or tokens[end] in FOLLOWERS or tokens[end] in VERB_FORMS:
        return True
    return tokens[end].endswith("ing") and tokens[end] not in ING_NOUNS


def _left(tokens: tuple[str, ...], start: int) -> tuple[int, str, int]:
    """Start of the noun phrase, its colour ('' if none or not sure) and its number (0 if none)."""
    first, color, number = start, "", 0
    while first > 0 and (tokens[first - 1] in ADJECTIVES or tokens[first - 1] in COLORS):
        first -= 1
        if tokens[first] in COLORS and not color and start - first <= 2:
            color = COLORS[tokens[first]]
            if first > 1 and tokens[first - 1] == "and" and tokens[first - 2] in COLORS:
                color = f"{COLORS[tokens[first - 2]]} and {color}"
                first -= 2
            if first > 0 and tokens[first - 1] in {",", "and", "-", "or", "/"} | set(COLORS):
                color = ""
                break
    if first > 0 and tokens[first - 1] in NUMBERS:
        first -= 1
        number = NUMBERS[tokens[first]]
    if first > 0 and tokens[first - 1] in DETERMINERS:
        first -= 1
    return first, color, number
