"""The word classes of a language: HanTa's morphological models, a word at a time.

HanTa (Wartena 2019, https://serwiss.bib.hs-hannover.de/frontdoor/index/index/docId/1527) brings the models in
its wheel, so nothing is fetched. Words are tagged out of context: which class a word has in its place is
decided by the rules of `noun_phrases.py`.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from sightline.data.questions.language import Language

CUTOFF = 3.0  # nats by which a second reading may be less likely
SHORTEST_PART = 4  # letters of the last part of a compound
GUESSES = 2.0  # the same for a word that is not in the model


@dataclass(frozen=True)
class Word:
    """A word out of context. `kind`: its likeliest class; `noun` and `verb`: whether it can be one.

    `lemma` in lower case, `plural` as a noun, `known`: the model has the word or its parts.
    """

    text: str
    kind: str
    lemma: str
    noun: bool
    verb: bool
    plural: bool
    known: bool


class WordTagger:
    """Tags the words of one language."""

    def __init__(self, language: Language) -> None:
        from HanTa.HanoverTagger import HanoverTagger

        self.language = language
        self._model = HanoverTagger(language.model)
        self.word = lru_cache(maxsize=200_000)(self._word)

    def _word(self, text: str) -> Word:
        language = self.language
        lower = text.lower()
        if lower in language.articles:
            return Word(lower, "article", lower, False, False, False, True)
        if lower in language.numbers:
            return Word(lower, "number", lower, False, False, False, True)
        if language.cased and "-" in text and len(text.rsplit("-", 1)[1]) >= SHORTEST_PART:
            last = self.word(text.rsplit("-", 1)[1])  # Damen-Sonnenbrille
            return replace(last, text=lower)
        spelled = text if language.cased else lower
        readings = self._model.tag_word(spelled, casesensitive=language.cased)
        if not readings:
            return Word(lower, "other", lower, False, False, False, False)
        best = readings[0][1]
        known = bool(best >= language.known_above)
        tags = [tag for tag, score in readings if score >= best - (CUTOFF if known else GUESSES)]
        kinds = [self._kind(tag) for tag in tags]
        nouns = [tag for tag, kind in zip(tags, kinds, strict=True) if kind == "noun"]
        tag = nouns[0] if kinds[0] == "noun" or nouns and kinds[0] in ("name", "verb") else tags[0]
        lemma = str(self._model.analyze(spelled, pos=tag)[0]).lower()
        plural = lower != lemma if language.cased else bool(nouns) and nouns[0] == "NN2"
        if nouns and not language.cased:  # derivation is undone too: a skateboarder is no skateboard
            lemma = lower if not plural else lemma if known else _stripped(lower)
        elif nouns and not known:  # the ending of an unknown compound is a guess
            lemma, plural = lower, False
        lemma = self._last_part(lemma) if nouns else lemma
        verb = bool({"verb", "participle"} & set(kinds))
        return Word(lower, kinds[0], lemma or lower, bool(nouns), verb, bool(nouns) and plural, known)

    def _last_part(self, lemma: str) -> str:
        """The thing of a compound that begins with its material: Lederschuh is a shoe."""
        for family in self.language.families.values():
            for start in sorted(family.starts, key=len, reverse=True):
                rest = lemma.removeprefix(start)
                if rest == lemma or len(rest) < SHORTEST_PART:
                    continue
                readings = self._model.tag_word(rest.capitalize())
                tag, score = readings[0] if readings else ("", float("-inf"))
                if score >= self.language.known_above and tag.startswith("NN"):
                    return rest
        return lemma

    def _kind(self, tag: str) -> str:
        return next((kind for prefix, kind in self.language.tags if tag.startswith(prefix)), "other")


def _stripped(plural: str) -> str:
    ending = "es" if plural.endswith(("sses", "shes", "ches", "xes")) else "s"
    return plural.removesuffix(ending)
