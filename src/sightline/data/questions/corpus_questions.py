"""Questions about an item from what its texts say, by the counts of all training captions.

An item with a title is asked about what the title names: what it is, whether it is something else, its
attributes. An item with captions is asked what they agree on. Every function returns triples without item and
image, as `caption_rules.py` does.
"""

from collections.abc import Sequence

import numpy as np

from sightline.data.questions.corpus_counts import SEEN, TWICE, CorpusStatistics
from sightline.data.questions.corpus_parse import Item, Source, Value, keyed, modifying
from sightline.data.questions.language import FAMILIES, Family, Thing
from sightline.data.questions.noun_phrases import Phrase, Text
from sightline.data.questions.question_types import POPE_TYPES

PAIRS = 2
KINDS = ("adversarial", "popular")  # both draw a thing for a no about as often as it is there for a yes
COUNTED = 10


class CorpusQuestions:
    """The rules over closed statistics."""

    def __init__(self, statistics: CorpusStatistics) -> None:
        self.statistics = statistics
        self.language = statistics.language

    def of(self, item: Item, rng: np.random.Generator) -> list[dict]:
        """All short questions but the POPE polls."""
        if self.statistics.titles:
            return self._about_title(item, rng) if item.titled else []
        return self._about_captions(item, rng)

    def polls(self, item: Item, rng: np.random.Generator, per_image: int) -> list[dict]:
        """POPE: `per_image` questions of each of the three kinds, half of them yes, the same in all three."""
        here, gone = self.present(item), self.absent(item)
        pairs = min(per_image // 2, len(here), len(gone))
        yes = [str(name) for name in rng.permutation(sorted(here))[:pairs]]
        triples = []
        for type_ in POPE_TYPES:
            kind = type_.removeprefix("pope_")
            weights = self._weights(kind, gone, list(here))
            order = rng.permutation(len(gone)) if kind == "random" else np.argsort(-weights, kind="stable")
            no = [gone[place] for place in order[:pairs]]
            triples += [self._shown(type_, name, here[name]) for name in yes]
            triples += [self._not_shown(type_, name, kind) for name in no]
        return triples

    def objects(self) -> dict[str, list[str]]:
        """Things that may be called absent -> their forms; relatives (sofa, couch) count as one thing."""
        statistics = self.statistics
        number = statistics.main if statistics.titles else statistics.named
        forms: dict[str, set[str]] = {}
        for lemma in sorted(statistics.askable, key=lambda name: (-number[name], name)):
            related = (kind for kind in forms if statistics.related(kind, lemma))
            thing = statistics.things[lemma]
            named = {form.lower() for form, _ in statistics.forms[lemma]}
            named |= {lemma, thing.singular.lower(), thing.plural.lower()}
            forms.setdefault(next(related, lemma), set()).update(named)
        return {name: sorted(named) for name, named in sorted(forms.items())}

    def left_out(self) -> list[str]:
        """Sentences about the questions that these captions do not give."""
        statistics = self.statistics
        if not statistics.items:
            return []
        if not statistics.things:
            return [f"no short questions: of {statistics.items} training items no two name the same thing"]
        sentences = []
        if statistics.titles and not statistics.askable:
            sentences.append(
                "no questions about what is not shown: no two things are certainly different and each the "
                f"subject of {SEEN} titles"
            )
        if not statistics.titles and not statistics.askable:
            sentences.append(
                "no questions about what is not shown: "
                + ("no thing is named reliably" if statistics.several else "one caption names not all of it")
            )
        known = [
            family
            for family in FAMILIES
            if any(len(statistics.attributes[family, lemma]) >= TWICE for lemma in statistics.things)
        ]
        if missing := [family for family in FAMILIES if family not in known]:
            sentences.append(f"no questions about {' or '.join(missing)}: no thing is named with two of them")
        return sentences

    def present(self, item: Item) -> dict[str, tuple[Source, list[int]]]:
        """Things that are certainly shown -> where a text says so; only such as are absent from others.

        What the title is about, or what two captions name (or the only one).
        """
        statistics = self.statistics
        if statistics.titles:
            main = self._main(item)
            if main is None or item.lemma(main) not in statistics.askable:
                return {}
            return {item.lemma(main): (item.sources[0], _span(item.texts[0], main))}
        spans: dict[str, dict[Source, list[int]]] = {}
        for number, text in enumerate(item.texts):
            for phrase in text.phrases:
                lemma = text.words[phrase.head].lemma if phrase.head >= 0 else ""
                if lemma in statistics.askable:
                    spans.setdefault(lemma, {}).setdefault(item.sources[number], _span(text, phrase))
        need = min(TWICE, len(item.texts))
        return {
            lemma: next(iter(found.items())) for lemma, found in sorted(spans.items()) if len(found) >= need
        }

    def named(self, item: Item) -> set[str]:
        """Things that two texts name, or the only one; of a title and its description one is enough."""
        need = 1 if self.statistics.titles else min(TWICE, len(item.texts))
        texts = [set(heads) for heads in item.heads()]
        return {
            lemma
            for lemma in set().union(*texts)
            if self.statistics.is_common(lemma) and sum(lemma in heads for heads in texts) >= need
        }

    def absent(self, item: Item) -> list[str]:
        """Things that are certainly not shown: no text names them, and no word of a text hints at them."""
        statistics = self.statistics
        words = item.words()
        letters = " ".join(sorted(words))
        unsaid = [
            lemma
            for lemma in statistics.askable
            if lemma not in letters and statistics.things[lemma].singular.lower().split()[-1] not in letters
        ]
        if statistics.titles:
            main = self._main(item)
            if main is None:
                return []
            apart_T = statistics.apart_TT[:, statistics.row[item.lemma(main)]]
            return [lemma for lemma in unsaid if apart_T[statistics.row[lemma]]]
        heads = [lemma for text in item.heads() for lemma in text]
        rows = [statistics.row[lemma] for lemma in heads if lemma in statistics.row]
        if len(item.texts) < TWICE or 2 * len(rows) < len(heads):
            return []
        columns = [statistics.column[word] for word in words if word in statistics.column]
        hinted_T = statistics.implied_WT[columns].any(axis=0)
        hinted_T |= statistics.rivals_TT[rows].any(axis=0)
        return [lemma for lemma in unsaid if not hinted_T[statistics.row[lemma]]]

    def _main(self, item: Item) -> Phrase | None:
        """What the title is about; None if that is no thing that other titles are about."""
        return self.statistics.subject([(phrase, item.lemma(phrase)) for phrase in item.subjects])

    def _about_title(self, item: Item, rng: np.random.Generator) -> list[dict]:
        statistics = self.statistics
        main = self._main(item)
        if main is None:
            return []
        text, lemma = item.texts[0], item.lemma(main)
        thing, span = statistics.things[lemma], _span(text, main)
        triples = []
        if len(statistics.things) >= TWICE:
            written = statistics.written(text.words[main.head].text)
            answer = written if self.language.cased else thing.usual
            question = self.language.questions.what
            source = item.sources[0]
            triples.append(_triple("what", "title", question, answer.lower(), source, span, object=lemma))
        triples += self._existence(item, rng, 1)
        for family in FAMILIES:
            facts = [value for value in item.values[0] if value.family == family]
            told = [value for value in facts if self._of_title(text, main, value)]
            told += [
                value for value in _keyed(item, self.language.families[family]) if value.family == family
            ]
            if (value := self._only(item, told, family)) is not None:
                triples += self._attribute(item, lemma, value, rng)
        return triples + self._number(item, [(0, main)], lemma)

    def _of_title(self, text: Text, main: Phrase, value: Value) -> bool:
        """Whether a value in the title is that of what the title is about."""
        if value.doubtful:
            return False
        if main.first <= value.first < main.end:
            return value.first >= main.head or self._next_to(text, main, value)
        for phrase in text.phrases:
            if phrase.first <= value.first < phrase.end:
                rest = [*text.words[phrase.first : value.first], *text.words[value.end : phrase.end]]
                plain = all(
                    word.lemma in self.language.trailing or word.kind in ("adjective", "participle")
                    for word in rest
                )
                told = self.language.families[value.family].told
                return plain and (not text.led(phrase) or text.before(phrase) in told)
        return False

    def _next_to(self, text: Text, phrase: Phrase, value: Value) -> bool:
        """Whether a value before the head is the head's, not that of a noun between ("green tea cup")."""
        nouns = modifying(text, phrase, value)
        if nouns is None:
            return False
        follows = self.statistics.follows
        first = (*nouns, text.words[phrase.head].lemma)[0]
        of_value = any(first in family.words for family in self.language.families.values())
        return of_value or len(follows[value.family, first]) >= TWICE

    def _only(self, item: Item, told: Sequence[Value], family: str) -> Value | None:
        """The value that the texts give, if they give one."""
        said = {value.value for values in item.values for value in values if value.family == family}
        exact = said - self.language.families[family].general or said
        if len(exact) != 1:
            return None
        return next((value for value in told if value.value in exact and not value.doubtful), None)

    def _attribute(self, item: Item, lemma: str, value: Value, rng: np.random.Generator) -> list[dict]:
        """The open question, and one with yes and one with no; only where the thing has other values too."""
        statistics, questions = self.statistics, self.language.questions
        family = self.language.families[value.family]
        thing = statistics.things[lemma]
        number = next(n for n, values in enumerate(item.values) if any(other is value for other in values))
        span = item.texts[number].span(value.first, value.end)
        source = item.sources[number]
        known = set(family.words.values())
        counts = {
            other: n for other, n in statistics.attributes[value.family, lemma].items() if other in known
        }
        if value.value in family.unasked or not set(counts) - {value.value}:
            return []
        triples = [
            _triple(
                value.family, "said_of_thing", questions.open[value.family](thing), value.value, source, span,
                object=lemma,
            )
        ]  # fmt: skip
        said = item.words()
        near = family.compatible(value.value)
        others = sorted(
            other
            for other in counts
            if other in family.rivals and other not in near and not _named(other, family, said)
        )
        if others and value.value in family.rivals:
            weights = np.array([counts[other] for other in others], dtype=np.float64)
            other = others[int(rng.choice(len(others), p=weights / weights.sum()))]
            for asked, answer in ((value.value, "yes"), (other, "no")):
                question = questions.polar[value.family](thing, asked)
                rule = f"{value.family}_{answer}"
                triples.append(_triple("attribute", rule, question, answer, source, span, object=lemma))
        return triples

    def _existence(self, item: Item, rng: np.random.Generator, most: int) -> list[dict]:
        """At most `most` questions with yes and as many with no."""
        here, gone = self.present(item), self.absent(item)
        yes = [str(name) for name in rng.permutation(sorted(here))[:most]]
        no: dict[str, str] = {}
        for _ in yes:
            kind = KINDS[rng.integers(len(KINDS))]
            rest = [name for name in gone if name not in no]
            weights = self._weights(kind, rest, list(here))
            if weights.sum() > 0:
                no[rest[int(rng.choice(len(rest), p=weights / weights.sum()))]] = kind
        pairs = min(len(yes), len(no))
        triples = [self._shown("existence", name, here[name]) for name in yes[:pairs]]
        return triples + [self._not_shown("existence", name, kind) for name, kind in list(no.items())[:pairs]]

    def _weights(self, kind: str, names: Sequence[str], here: Sequence[str]) -> np.ndarray:
        statistics = self.statistics
        rows = [statistics.row[name] for name in names]
        if kind == "random":
            return np.ones(len(rows))
        if kind == "popular":
            number = statistics.main if statistics.titles else statistics.named
            return np.array([number[name] for name in names], dtype=np.float64)
        together_TT = statistics.like_TT if statistics.titles else statistics.together_TT
        return together_TT[np.ix_(rows, [statistics.row[name] for name in here])].sum(axis=1).astype(float)

    def _about_captions(self, item: Item, rng: np.random.Generator) -> list[dict]:
        triples = self._existence(item, rng, PAIRS)
        by_lemma: dict[str, list[tuple[int, Phrase]]] = {}
        for number, text in enumerate(item.texts):
            for phrase in text.phrases:
                if phrase.head >= 0 and text.words[phrase.head].lemma in self.statistics.things:
                    by_lemma.setdefault(text.words[phrase.head].lemma, []).append((number, phrase))
        for lemma, found in sorted(by_lemma.items()):
            if self._alone(item, found):
                for family in FAMILIES:
                    if (value := self._agreed(item, found, family)) is not None:
                        triples += self._attribute(item, lemma, value, rng)
            triples += self._number(item, found, lemma)
        return triples

    def _alone(self, item: Item, found: Sequence[tuple[int, Phrase]]) -> bool:
        """Whether nothing suggests a second thing of the kind."""
        numbers = [number for number, _ in found]
        if len(set(numbers)) != len(numbers):
            return False
        for number, phrase in found:
            words = item.texts[number].words[phrase.first : phrase.end]
            several = item.texts[number].words[phrase.head].plural or phrase.number
            if several or self.language.vague & {word.text for word in words}:
                return False
        return True

    def _agreed(self, item: Item, found: Sequence[tuple[int, Phrase]], family: str) -> Value | None:
        """The value that a thing's phrases give it: two the same, or the only one, and no other."""
        told = [
            value
            for number, phrase in found
            for value in item.values[number]
            if value.family == family
            and not value.doubtful
            and self._next_to(item.texts[number], phrase, value)
        ]
        values = {value.value for value in told}
        return told[0] if len(values) == 1 and len(told) >= min(TWICE, len(item.texts)) else None

    def _number(self, item: Item, found: Sequence[tuple[int, Phrase]], lemma: str) -> list[dict]:
        """How many are there? From "two dogs" in two captions (or the only one) and no other number."""
        thing = self.statistics.things[lemma]
        need = min(TWICE, len(item.texts)) if not self.statistics.titles else 1
        numbered = [
            (number, phrase)
            for number, phrase in found
            if phrase.number and phrase.number <= COUNTED and item.texts[number].words[phrase.head].plural
        ]
        several = {phrase.number for number, phrase in found if item.texts[number].words[phrase.head].plural}
        vague = self.language.vague & item.words()
        if thing.mass or vague or len(several) != 1 or len(numbered) < need or len(numbered) < len(found):
            return []
        number, phrase = numbered[0]
        span = item.texts[number].span(phrase.first, phrase.end)
        question = self.language.questions.number(thing)
        source = item.sources[number]
        return [
            _triple("count", "number_before_plural", question, str(phrase.number), source, span, object=lemma)
        ]

    def _ask(self, thing: Thing) -> str:
        questions = self.language.questions
        return questions.kind_of(thing) if self.statistics.titles else questions.shown(thing)

    def _shown(self, type_: str, lemma: str, where: tuple[Source, list[int]]) -> dict:
        question = self._ask(self.statistics.things[lemma])
        rule = "title" if self.statistics.titles else "named_twice"
        return _triple(type_, rule, question, "yes", *where, object=lemma)

    def _not_shown(self, type_: str, lemma: str, kind: str) -> dict:
        return {
            "type": type_, "rule": f"absent_{kind}", "question": self._ask(self.statistics.things[lemma]),
            "answer": "no", "source": "all captions", "object": lemma, "negative": kind,
        }  # fmt: skip


def _named(value: str, family: Family, words: set[str]) -> bool:
    return value in words or any(form in words for form, named in family.words.items() if named == value)


def _keyed(item: Item, family: Family) -> list[Value]:
    """Values that a text gives as that of a key."""
    texts = zip(item.texts, item.values, strict=True)
    return [value for text, values in texts for value in values if keyed(text, value, family)]


def _span(text: Text, phrase: Phrase) -> list[int]:
    return text.span(phrase.head, phrase.head + 1)


def _triple(
    type_: str, rule: str, question: str, answer: str, source: Source, span: list[int], **more: object
) -> dict:
    return {
        "type": type_, "rule": rule, "question": question, "answer": answer, "source": source, "span": span,
    } | more  # fmt: skip
