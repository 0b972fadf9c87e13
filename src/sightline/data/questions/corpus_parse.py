"""An item's texts as the corpus lexicon reads them: its title apart, the attribute values in all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sightline.data.questions.language import FAMILIES, Family
from sightline.data.questions.noun_phrases import Phrase, Text, is_title, parse, subjects
from sightline.data.questions.word_tagger import Word, WordTagger

Source = int | str


@dataclass(frozen=True)
class Value:
    """A value of a family (red), said by the words first:end of a text; `doubtful`: "faux leather"."""

    family: str
    value: str
    first: int
    end: int
    doubtful: bool


@dataclass(frozen=True)
class Item:
    """The texts of an item. `titled`: the first is a title; `subjects` are then phrases it may be about.

    `sources`: the number of the caption that a text is, or "title".
    """

    sources: tuple[Source, ...]
    texts: tuple[Text, ...]
    values: tuple[tuple[Value, ...], ...]
    titled: bool
    subjects: tuple[Phrase, ...]

    def lemma(self, phrase: Phrase) -> str:
        """Lemma of the head of a phrase of the first text."""
        return self.texts[0].words[phrase.head].lemma

    def words(self) -> set[str]:
        """Every word of the texts, as written and as lemma."""
        return {form for text in self.texts for word in text.words for form in (word.text, word.lemma)}

    def heads(self) -> list[list[str]]:
        """Lemmas of the nouns that head a phrase, text by text."""
        return [
            [text.words[phrase.head].lemma for phrase in text.phrases if phrase.head >= 0]
            for text in self.texts
        ]


def read(texts: Sequence[str], title: str, tagger: WordTagger) -> Item:
    """Parse an item's captions; the title is put in front if it is none of them."""
    named: list[tuple[Source, str]] = list(enumerate(texts))
    if title:
        given = [entry for entry in named if entry[1] == title] or [("title", title)]
        named = given[:1] + [entry for entry in named if entry[1] != title]
    sources, texts = [source for source, _ in named], [text for _, text in named]
    titled = bool(texts) and (bool(title) or is_title(texts[0], tagger.language))
    parsed = tuple(parse(text, tagger, titled and n == 0) for n, text in enumerate(texts))
    about = tuple(subjects(parsed[0], tagger.language)) if titled else ()
    return Item(
        tuple(sources), parsed, tuple(tuple(_values(text.words, tagger)) for text in parsed), titled, about
    )


def _values(words: Sequence[Word], tagger: WordTagger) -> Iterator[Value]:
    for name in FAMILIES:
        family = tagger.language.families[name]
        place = 0
        while place < len(words):
            value = value_of(words[place], family)
            first, place = place, place + 1
            if not value:
                continue
            # "navy blue", "rose gold": the first is a shade of the second
            after = value_of(words[place], family) if place < len(words) else ""
            if after and name == "color" and value not in family.rivals:
                value, place = after, place + 1
            around = {word.text for word in (*words[max(0, first - 2) : first], *words[place : place + 2])}
            yield Value(name, value, first, place, bool(around & family.near))


def value_of(word: Word, family: Family) -> str:
    """The value that a word says; "" if it says none."""
    value = family.words.get(word.text) or family.words.get(word.lemma)
    if value or word.kind == "punctuation":
        return value or ""
    if word.kind in ("adjective", "participle", "name"):
        for end, ended in family.ends.items():
            if word.lemma.endswith(end) and len(word.lemma) > len(end) + 2:
                return ended
    if word.noun:
        for start, started in sorted(family.starts.items(), key=lambda entry: -len(entry[0])):
            if word.text.startswith(start) and len(word.text) > len(start) + 2:
                return started
    return ""


def keyed(text: Text, value: Value, family: Family) -> bool:
    """Whether a value is that of a key: "Color: red"."""
    if value.first < len((":", "red")):
        return False
    key, colon = text.words[value.first - 2 : value.first]
    return colon.text in (":", "=") and key.text in family.keys


def modifying(text: Text, phrase: Phrase, value: Value) -> tuple[str, ...] | None:
    """Nouns between a value in front of a phrase's head and the head; None if it is not in front of it.
    A family word that is itself a material, as in "blue cotton shirt", is none of them.

    "green | tea | cup" gives tea: the value may belong to that noun.
    """
    if value.first == phrase.head and text.words[value.first].text != text.words[value.first].lemma:
        return ()  # a compound: Lederschuh
    if not phrase.first <= value.first < phrase.head:
        return None
    between = text.words[value.end : phrase.head]
    return tuple(word.lemma for word in between if word.kind not in ("adjective", "participle", "owner"))
