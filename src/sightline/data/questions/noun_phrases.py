"""The noun phrases of a text: which thing is named, what stands before it, and what a title is a title of."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sightline.data.questions.language import Language
from sightline.data.questions.word_tagger import Word, WordTagger

TOKEN = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*|\d+(?:[.,]\d+)*|'s|[^\w\s]")
OWNER = re.compile(r"['’]s?$")
IN_PHRASE = ("noun", "name", "adjective", "participle")
MAX_WORDS = 400  # of a text: what comes later in a long description says little about the picture


@dataclass(frozen=True)
class Phrase:
    """Tokens first:end of a text are the phrase (without its article), the noun that heads it is at `head`.

    `article`: it has one, `indefinite`: a or an; `number`: two and more, 0 if none is said. `head` is -1 for
    adjectives without a noun (", blue").
    """

    first: int
    head: int
    end: int
    article: bool
    indefinite: bool
    number: int


@dataclass(frozen=True)
class Text:
    """A text cut into words, with their characters and the phrases they form."""

    raw: str
    words: tuple[Word, ...]
    spans: tuple[tuple[int, int], ...]
    phrases: tuple[Phrase, ...]

    def span(self, first: int, end: int) -> list[int]:
        """Characters of the words first:end."""
        return [self.spans[first][0], self.spans[end - 1][1]]

    def before(self, phrase: Phrase) -> str:
        """The word in front of a phrase and its article; "" at the start."""
        first = phrase.first - (1 if phrase.article else 0)
        return self.words[first - 1].text if first > 0 else ""

    def led(self, phrase: Phrase) -> bool:
        """Whether a preposition leads to a phrase."""
        first = phrase.first - (1 if phrase.article else 0)
        return first > 0 and self.words[first - 1].kind == "preposition"

    def after(self, phrase: Phrase) -> str:
        """The word behind a phrase; "" at the end."""
        return self.words[phrase.end].text if phrase.end < len(self.words) else ""


def is_title(text: str, language: Language) -> bool:
    """Whether a text reads as a title: no article, no full stop at its end, nothing but one line of words."""
    words = [match[0].lower() for match in TOKEN.finditer(text)]
    return bool(words) and not text.rstrip().endswith(".") and not language.articles & set(words)


def parse(text: str, tagger: WordTagger, title: bool) -> Text:
    """Words and phrases of a text; in a title a word that can be a noun is one."""
    matches = [match for _, match in zip(range(MAX_WORDS), TOKEN.finditer(text), strict=False)]
    words = tuple(_word(match[0], tagger) for match in matches)
    phrases = tuple(_phrases(words, tagger.language, title))
    return Text(text, words, tuple(match.span() for match in matches), phrases)


def subjects(text: Text, language: Language) -> list[Phrase]:
    """The phrases of a title that may say what is in the picture, with the noun that does as their head.

    "Set of 3 cotton towels, blue": cotton towels. None of "shirt and trousers", nor what a preposition leads
    in ("for your kitchen", "with lid").
    """
    found: list[Phrase] = []
    for phrase in text.phrases:
        if phrase.head < 0:
            continue
        before, after = text.before(phrase), text.after(phrase)
        if text.words[phrase.head].lemma in language.containers and after in language.of:
            continue
        contained = (
            before in language.of and text.words[max(0, phrase.first - 2)].lemma in language.containers
        )
        if {before, after} & language.joining or text.led(phrase) and not contained:
            continue
        # "| bottle green": a shade, unless it is how the title begins ("T-shirt black")
        if (
            phrase.first > 0
            and phrase.head + 2 == phrase.end
            and _is_value(text.words[phrase.end - 1], "color", language)
        ):
            continue
        heads = [replace(phrase, head=head) for head in _title_heads(text, phrase, language)]
        if heads and not found and _is_person(text.words, heads[0].head, language):
            return heads  # what a person wears or does follows
        found += heads
    return found


def _title_heads(text: Text, phrase: Phrase, language: Language) -> Iterator[int]:
    """Places of nouns that may be the thing, the likelier last.

    That is the last noun. Where the model does not know it and it has a capital (a name?) it may be the last
    one that it knows. "Horse riding" is no thing; a person is one where nothing else is named.
    """
    words = text.words
    if words[phrase.end - 1].kind == "participle" and words[phrase.end - 1].text.endswith("ing"):
        return
    materials = language.families["material"].words
    skipped = language.trailing | language.audience | language.units
    nouns = [place for place in range(phrase.first, phrase.end) if words[place].noun]
    heads: list[int] = []
    for place in reversed(nouns):
        word = words[place]
        if {word.text, word.lemma} & skipped or _is_value(word, "color", language):
            continue
        if _is_value(word, "pattern", language) or word.kind in ("adjective", "participle"):
            continue
        if word.lemma in language.abstract:
            break
        if word.text in materials or word.lemma in materials:
            if place == nouns[-1] and len(nouns) == 1:
                heads.append(place)
            break
        name = not word.known and text.raw[text.spans[place][0]].isupper()
        if not name or not heads:
            heads.append(place)
        if not name:
            break
    if not heads and len(nouns) == 1 and _is_person(words, nouns[0], language):
        heads = nouns
    yield from reversed(heads)


def _is_value(word: Word, family: str, language: Language) -> bool:
    words = language.families[family].words
    return word.text in words or word.lemma in words


def _word(text: str, tagger: WordTagger) -> Word:
    if text[0].isdecimal():
        number = text.isdecimal() and 1 < int(text[:4]) <= 10
        return Word(text, "number" if number else "digits", text, False, False, False, True)
    if OWNER.search(text):
        return Word(text.lower(), "owner", text.lower(), False, False, False, True)
    if not text[0].isalpha():
        return Word(text, "punctuation", text, False, False, False, True)
    return tagger.word(text)


def _phrases(words: Sequence[Word], language: Language, title: bool) -> Iterator[Phrase]:
    open_ = _Open(words, language)
    for place, word in enumerate(words):
        kind = _kind(words, place, open_, title)
        if kind == "participle" and title and _is_person(words, open_.noun, language):
            yield from open_.close(place)  # "woman wearing a hat", not "women printed dress"
        elif kind in IN_PHRASE:
            if kind == "adjective" and open_.noun >= 0 and not title and not _goes_on(words, place):
                yield from open_.close(place)  # "a man red with anger", but "a sky blue umbrella"
            open_.take(place, kind)
        elif kind == "number" and open_.noun < 0:
            open_.number = language.numbers.get(word.text) or int(word.text)
            open_.first = place if open_.first < 0 else open_.first
        elif kind in ("digits", "number") and title and open_.noun >= 0 and _inside(words, place, language):
            continue
        elif word.text in language.joining and open_.first >= 0 and open_.noun < 0:
            continue
        elif kind == "owner" and (title or open_.noun < 0):
            continue
        else:
            if kind != "owner":
                yield from open_.close(place)
            open_.reset()
            if kind == "article":
                open_.article, open_.indefinite = True, word.text in language.indefinite
    yield from open_.close(len(words))


class _Open:
    """The phrase that is being read."""

    def __init__(self, words: Sequence[Word], language: Language) -> None:
        self.words, self.language = words, language
        self.reset()

    def reset(self) -> None:
        self.first, self.noun, self.last, self.number = -1, -1, -1, 0
        self.article, self.indefinite = False, False

    def take(self, place: int, kind: str) -> None:
        self.first = place if self.first < 0 else self.first
        self.last = place
        if kind in ("noun", "name"):
            self.noun = place

    def close(self, end: int) -> Iterator[Phrase]:
        if self.last >= 0:
            last = self.last + 1
            yield Phrase(self.first, self.noun, last, self.article, self.indefinite, self.number)
        self.reset()


def _is_person(words: Sequence[Word], place: int, language: Language) -> bool:
    return place >= 0 and words[place].lemma in language.persons and not words[place].plural


def _goes_on(words: Sequence[Word], place: int) -> bool:
    following = words[place + 1] if place + 1 < len(words) else None
    return following is not None and following.kind in ("noun", "adjective") and not following.verb


def _inside(words: Sequence[Word], place: int, language: Language) -> bool:
    """Whether a number stands within a name ("Air 90 Shoes"), not before a unit or at the end."""
    following = words[place + 1] if place + 1 < len(words) else None
    return following is not None and following.kind in IN_PHRASE and following.text not in language.units


def _kind(words: Sequence[Word], place: int, phrase: _Open, title: bool) -> str:
    """The class of a word in its place."""
    word = words[place]
    if not word.noun:
        return "verb" if word.kind == "participle" and phrase.noun >= 0 and not title else word.kind
    if word.kind == "name" or not word.verb:
        return word.kind
    if title:
        return "participle" if word.kind == "participle" else "noun"
    if phrase.noun >= 0:
        if words[phrase.noun].plural or word.plural or word.text.endswith("ing"):
            return "verb"
        return "noun" if word.kind == "noun" else "verb"
    if word.kind in ("participle", "noun"):
        return word.kind
    led = phrase.first >= 0 or phrase.article or place > 0 and words[place - 1].kind == "preposition"
    return "noun" if led else word.kind
