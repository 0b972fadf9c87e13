"""The language of captions: that of the supported ones whose word list knows most of their words."""

from collections.abc import Sequence

from sightline.core import registry
from sightline.data.questions.corpus_parse import read
from sightline.data.questions.language import Language
from sightline.data.questions.word_tagger import WordTagger

LANGUAGES = "data/questions/languages"
SAMPLED = 200  # captions that are looked at, evenly spread


def tell(captions: Sequence[str]) -> str:
    """The code of the language (en, de, ...); '' where no language knows as many words as its own captions
    have (`Language.known_share`); of several the one that knows the most beyond that."""
    sample = captions[:: max(1, len(captions) // SAMPLED)]
    beyond: dict[str, float] = {}
    for code in registry.names(LANGUAGES):
        language: Language = registry.load(LANGUAGES, code).LANGUAGE
        beyond[code] = known_share(sample, language) - language.known_share
    best = max(beyond, key=lambda code: beyond[code])
    return best if beyond[best] >= 0 else ""


def known_share(captions: Sequence[str], language: Language) -> float:
    """The share of the captions' words that the language's word list knows; 0 where there are no words."""
    tagger = WordTagger(language)
    texts = [text for caption in captions for text in read([caption], "", tagger).texts]
    written = [word for text in texts for word in text.words if word.text[0].isalpha()]
    return sum(word.known for word in written) / len(written) if written else 0.0
