"""The things, attributes and numbers that the training captions themselves name, in English or German."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from sightline.core import registry
from sightline.data.questions.caption_language import LANGUAGES
from sightline.data.questions.corpus_counts import CorpusStatistics
from sightline.data.questions.corpus_parse import Item, read
from sightline.data.questions.corpus_questions import CorpusQuestions
from sightline.data.questions.language import Language
from sightline.data.questions.word_tagger import WordTagger


class Corpus:
    """A `Lexicon`. code: of the language."""

    def __init__(self, code: str) -> None:
        self._code, self._tagger = code, _tagger(code)
        self._statistics = CorpusStatistics(self._tagger.language)
        self._questions = CorpusQuestions(self._statistics)
        self._foreign = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """How it travels between own processes: without the word lists and the tagger."""
        counts = {name: value for name, value in vars(self._statistics).items() if name != "language"}
        return _rebuilt, (self._code, counts, self._foreign)

    def count(self, item: dict) -> None:
        self._statistics.add(self._read(item["captions"], item.get("title", "")), item["id"])

    def merge(self, part: "Corpus") -> None:
        self._statistics.merge(part._statistics)

    def finish(self) -> None:
        self._statistics.close()
        language, tokens = self._statistics.language, self._statistics.tokens
        known = self._statistics.known / tokens if tokens else 0.0
        if self._statistics.items and known < language.known_share:
            self._foreign = (
                f"no short questions: of the captions' words {100 * known:.0f} % are {language.name}, "
                f"expected {100 * language.known_share:.0f} %; set convert.language to theirs "
                f"(questions are made in {', '.join(registry.names(LANGUAGES))})"
            )

    def questions(self, texts: Sequence[str], title: str, rng: np.random.Generator) -> list[dict]:
        return [] if self._foreign else self._questions.of(self._read(texts, title), rng)

    def polls(self, texts: Sequence[str], title: str, rng: np.random.Generator, per_image: int) -> list[dict]:
        return [] if self._foreign else self._questions.polls(self._read(texts, title), rng, per_image)

    def shown(self, texts: Sequence[str], title: str) -> set[str]:
        return set() if self._foreign else self._questions.named(self._read(texts, title))

    def objects(self) -> dict[str, list[str]]:
        return {} if self._foreign else self._questions.objects()

    def left_out(self) -> list[str]:
        return [self._foreign] if self._foreign else self._questions.left_out()

    def _read(self, texts: Sequence[str], title: str) -> Item:
        return read([" ".join(text.split()) for text in texts], " ".join(title.split()), self._tagger)


@lru_cache(maxsize=1)
def _tagger(code: str) -> WordTagger:
    language: Language = registry.load(LANGUAGES, code).LANGUAGE
    return WordTagger(language)


def _rebuilt(code: str, counts: dict[str, Any], foreign: str) -> Corpus:
    lexicon = Corpus(code)
    vars(lexicon._statistics).update(counts)
    lexicon._foreign = foreign
    return lexicon


class Unsupported:
    """A `Lexicon` for captions in a language without word lists: no questions, and a sentence on it."""

    def __init__(self, code: str) -> None:
        self._code = code

    def count(self, item: dict) -> None:
        """There is nothing to count."""

    def merge(self, part: "Unsupported") -> None:
        """There is nothing to add."""

    def finish(self) -> None:
        """There is nothing to close."""

    def questions(self, texts: Sequence[str], title: str, rng: np.random.Generator) -> list[dict]:
        return []

    def polls(self, texts: Sequence[str], title: str, rng: np.random.Generator, per_image: int) -> list[dict]:
        return []

    def shown(self, texts: Sequence[str], title: str) -> set[str]:
        return set()

    def objects(self) -> dict[str, list[str]]:
        return {}

    def left_out(self) -> list[str]:
        return [
            f"no short questions: none are made in the language {self._code!r}, only in "
            f"{', '.join(registry.names(LANGUAGES))} (convert.language); a table with columns of questions "
            "and answers needs none made"
        ]


def build(language: str) -> Corpus | Unsupported:
    """The lexicon of a language; one that makes no questions where the language has no word lists."""
    if language not in registry.names(LANGUAGES):
        return Unsupported(language)
    return Corpus(language)
