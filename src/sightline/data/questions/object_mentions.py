"""Object mentions of a caption: tokens, number, colour, and whether the noun heads its phrase."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sightline.data.questions.object_lexicon import OBJECT_CLASSES, RELATIVES
from sightline.data.questions.word_lists import (
    ADJECTIVES,
    BASE_VERBS,
    COLORS,
    DETERMINERS,
    FOLLOWERS,
    ING_NOUNS,
    NUMBERS,
    VERB_FORMS,
)

TOKEN = re.compile(r"'s|[a-z0-9]+(?:[-'][a-rt-z0-9][a-z0-9]*)*|[^\sa-z0-9]")
INTRODUCING = frozenset(
    "in on at of with by to from under behind near over into onto through down and".split()
)
# "a toy dog", "a statue of a horse", "no ball": named, but not there.
UNREAL = frozenset(
    """no not without toy stuffed fake plastic inflatable statue picture painting photo drawing sculpture
    poster image mask costume like pretend imaginary cartoon balloon ice chocolate shaped print""".split()
)
# Verbs as often as nouns ("a boy slides"): nouns only behind a determiner, an adjective or a preposition.
VERBAL = frozenset(
    "slide slides swing swings fish train trains sled sleds drum drums bears rocks parks signs".split()
)
# "smiles at the camera": the one that takes the picture.
TOWARDS = frozenset("at for to toward towards facing into front of".split())
# Words of one caption that make a noun of another doubtful: one caption's dirt bike is another's bicycle.
RIVALS = {
    name: frozenset(words.split())
    for name, words in {
        "bicycle": "motorcycle motorbike motocross motorcyclist motorized motorcross racer scooter atv moped",
        "motorcycle": "bicycle bicyclist cyclist mountain bmx pedals pedaling scooter",
        "skateboard": "rollerblades rollerblading rollerblader in-line inline skates scooter snowboard",
        "snowboard": "skis skier skiers skiing ski surfboard skateboard",
        "surfboard": "snowboard wakeboard wakeboarder wakeboarding windsurfer parasail parasailing kayak",
        "ball": "frisbee balloon",
        "frisbee": "ball toy",
        "swing": "golf club bat racket baseball tennis",
        "slide": "slip",
        "bed": "truck",
    }.items()
}


def _index() -> dict[str, list[tuple[tuple[str, ...], str, bool]]]:
    index: dict[str, list[tuple[tuple[str, ...], str, bool]]] = {}
    for name, object_class in OBJECT_CLASSES.items():
        for form in object_class.plurals:
            index.setdefault(form[0], []).append((form, name, True))
        for form in object_class.singulars:
            index.setdefault(form[0], []).append((form, name, False))
    for forms in index.values():
        forms.sort(key=lambda entry: -len(entry[0]))
    return index


FORMS = _index()
FORM_WORDS = {
    name: frozenset(form[0] for form in (*object_class.singulars, *object_class.plurals) if len(form) == 1)
    for name, object_class in OBJECT_CLASSES.items()
}


@dataclass(frozen=True)
class Mention:
    """One object mention of one caption; tokens first:end are its noun phrase, start:end the noun itself.

    `head`: no longer compound follows; `real`: really there; `owner`: the noun is followed by 's.
    """

    name: str
    first: int
    start: int
    end: int
    plural: bool
    head: bool
    real: bool
    owner: bool
    color: str
    number: int


@dataclass(frozen=True)
class Caption:
    """A caption cut into lower-case tokens (with their character spans) and its object mentions."""

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
        mention = _at(tokens, position)
        if mention:
            mentions.append(mention)
        position = mention.end if mention else position + 1
    return Caption(text, tokens, tuple(match.span() for match in matches), tuple(mentions))


def parse_all(texts: Sequence[str]) -> list[Caption]:
    """Tokens and mentions of an image's captions; those on which the captions disagree are not `real`."""
    captions = [parse(text) for text in texts]
    words = words_of(captions)
    named = {mention.name for caption in captions for mention in caption.mentions}
    doubtful = {name for name, rivals in RIVALS.items() if name in named and rivals & (words | named)}
    return [
        replace(
            caption,
            mentions=tuple(replace(m, real=m.real and m.name not in doubtful) for m in caption.mentions),
        )
        for caption in captions
    ]


def words_of(captions: Sequence[Caption]) -> set[str]:
    """All tokens of an image's captions."""
    return {token for caption in captions for token in caption.tokens}


def absent(captions: Sequence[Caption]) -> set[str]:
    """Classes that no caption names or hints at, directly or by a subclass or superclass."""
    named = {mention.name for caption in captions for mention in caption.mentions}
    words = words_of(captions)
    return {
        name
        for name, object_class in OBJECT_CLASSES.items()
        if not RELATIVES[name] & named and not object_class.hints & words and not FORM_WORDS[name] & words
    }


def _at(tokens: tuple[str, ...], start: int) -> Mention | None:
    for form, name, plural in FORMS.get(tokens[start], ()):
        end = start + len(form)
        if tokens[start:end] != form:
            continue
        first, color, number = _left(tokens, start)
        if tokens[start] in VERBAL and first == start and tokens[max(0, start - 1)] not in INTRODUCING:
            return None
        owner = tokens[end : end + 1] == ("'s",)
        real = not UNREAL & set(tokens[max(0, first - 3) : start])
        if first and (name == "camera" and tokens[first - 1] in TOWARDS or tokens[first - 1] == "for"):
            real = False
        return Mention(
            name, first, start, end, plural, _is_head(tokens, end, plural), real, owner, color, number
        )
    return None


def _is_head(tokens: tuple[str, ...], end: int, plural: bool) -> bool:
    verbs = BASE_VERBS if plural else VERB_FORMS
    if end == len(tokens) or tokens[end] in FOLLOWERS or tokens[end] in verbs:
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
