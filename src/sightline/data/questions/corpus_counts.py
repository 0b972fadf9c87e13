"""What the corpus lexicon counts over the training captions, in one pass and in memory that does not grow
with the number of items but with the number of different words."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from sightline.core.runtime import derive_seed
from sightline.data.questions.corpus_parse import Item, keyed, modifying
from sightline.data.questions.language import Language, Thing
from sightline.data.questions.noun_phrases import Phrase

SAMPLE = 50_000  # items whose words are kept for what occurs together, chosen by their id
VOCABULARY = 20_000  # most frequent words that may imply a thing
THINGS = 600  # most frequent heads that may be asked for
TWICE = 2
SEEN = 5  # items that must name a thing before it is called absent anywhere
COVERED = 0.8  # share of a thing's pictures that must name it, so that its absence from captions counts
IMPLIED = 0.2  # share of a word's items that name a thing, from which the word hints at it: twice its share
CERTAIN = 0.5  # of all items, but within these bounds
ENDING = 4  # letters of a last part that things have in common: Wasserflasche, Trinkflasche
SHORTEST = 3  # letters of a thing
FIXED = 0.9  # share of titles in which a noun stands before a thing, from which it is part of its name
SAID = 0.02  # share of the texts about a thing that may name another that is called absent there
LIKE = 0.3  # things whose texts are more alike may be two names of one; so may
NEAREST = 2  # so many whose texts are the most alike
CHANCE = 0.2  # whose texts are more alike than this
COMMON = 0.05  # articles for each title about a thing, where most things have any


class Sampled(NamedTuple):
    """Words of an item of the sample; a later rank is dropped first."""

    rank: int
    id: str
    heads: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    subjects: tuple[tuple[Phrase, str], ...]


class CorpusStatistics:
    """Counts of words, heads and attributes. `add` every training item of a part, `merge` the parts in their
    order, then `close`."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.items = self.titled = self.several = self.tokens = self.known = 0
        self.forms: dict[str, Counter[tuple[str, bool]]] = defaultdict(Counter)  # lemma -> (form, plural)
        self.articles: Counter[str] = Counter()  # lemma -> with an article, in any number
        self.main: Counter[str] = Counter()  # lemma -> titles that may be about it
        self.before: dict[str, Counter[str]] = defaultdict(Counter)  # lemma -> noun in front, in titles
        self.named: Counter[str] = Counter()  # lemma -> items with the head in a text
        self.by_one: Counter[str] = Counter()  # lemma -> items of several texts of which one has the head
        self.by_two: Counter[str] = Counter()
        self.stuff: Counter[str] = Counter()  # lemma -> singular in a sentence, without article
        self.counted: Counter[str] = Counter()  # lemma -> with a or an
        # (family, word) -> values before it: directly but for adjectives, or before what it heads
        self.follows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.attributes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.guessed: set[str] = set()  # heads that the tagger does not know
        self._sample: list[Sampled] = []

    def add(self, item: Item, id: str) -> None:
        """Count a training item; its id decides whether it is in the sample."""
        self.items += 1
        self.titled += item.titled
        self.several += len(item.texts) > 1
        heads = item.heads()
        mentions = Counter(lemma for lemmas in heads for lemma in set(lemmas))
        self.named.update(mentions.keys())
        if len(heads) > 1:
            self.by_one.update(lemma for lemma, n in mentions.items() if n == 1)
            self.by_two.update(lemma for lemma, n in mentions.items() if n == TWICE)
        for number, text in enumerate(item.texts):
            written = [word for word in text.words if word.text[0].isalpha()]
            self.tokens += len(written)
            self.known += sum(word.known for word in written)
            for phrase in text.phrases:
                if phrase.head < 0:
                    continue
                word = text.words[phrase.head]
                if not word.known:
                    self.guessed.add(word.lemma)
                self.forms[word.lemma][self.written(word.text), word.plural] += 1
                self.articles[word.lemma] += phrase.article
                if not (item.titled and number == 0) and not word.plural:
                    self.counted[word.lemma] += phrase.indefinite
                    self.stuff[word.lemma] += not phrase.article and phrase.number == 0
                for value in item.values[number]:
                    nouns = modifying(text, phrase, value)
                    if nouns is not None:
                        self.follows[value.family, (*nouns, word.lemma)[0]][value.value] += 1
                        self.attributes[value.family, word.lemma][value.value] += 1
        self.main.update({item.lemma(phrase) for phrase in item.subjects})
        self._add_told(item)
        for phrase in item.subjects:
            words, head = item.texts[0].words, phrase.head
            self.forms[words[head].lemma][self.written(words[head].text), words[head].plural] += 1
            front = words[head - 1] if head > phrase.first else None
            self.before[words[head].lemma][front.text if front and front.noun else ""] += 1
        self._keep(item, heads, id)

    def _add_told(self, item: Item) -> None:
        """Values in a title or behind a key count for what the title may be about."""
        for number, (text, values) in enumerate(zip(item.texts, item.values, strict=True)):
            for value in values:
                told = keyed(text, value, self.language.families[value.family])
                if item.titled and not value.doubtful and (told or number == 0):
                    for phrase in item.subjects:
                        self.attributes[value.family, item.lemma(phrase)][value.value] += 1

    def _keep(self, item: Item, heads: list[list[str]], id: str) -> None:
        subjects = tuple((phrase, item.lemma(phrase)) for phrase in item.subjects)
        rank = -derive_seed(0, "corpus sample", id)
        words = tuple(sorted(item.words()))
        self._sample.append(Sampled(rank, id, tuple(map(tuple, heads)), words, subjects))

    def merge(self, part: "CorpusStatistics") -> None:
        """Add the counts of another, whose items come next."""
        for name, value in vars(part).items():
            mine = getattr(self, name)
            if isinstance(value, int):
                setattr(self, name, mine + value)
            elif isinstance(value, Counter | set):
                mine.update(value)
            elif isinstance(value, defaultdict):
                for key, counter in value.items():
                    mine[key].update(counter)
        for entry in part._sample:
            if len(self._sample) < SAMPLE:
                heapq.heappush(self._sample, entry)
            else:
                heapq.heappushpop(self._sample, entry)

    def written(self, form: str) -> str:
        """A form as questions write it: Damen-Sonnenbrille is Sonnenbrille."""
        first, _, rest = form.partition("-")
        form = rest if rest and first in self.language.audience else form
        return form[0].upper() + form[1:] if self.language.cased else form

    def close(self) -> None:
        """Fix which heads are things and compute what occurs together."""
        self.titles = 2 * self.titled >= self.items > 0
        source = self.main if self.titles else self.named
        common = sum(n for lemma, n in source.items() if self.articles[lemma] >= COMMON * n)
        self._described = 2 * common >= source.total() > 0
        often = sorted(source.items(), key=lambda entry: (-entry[1], entry[0]))
        chosen = [lemma for lemma, n in often if n >= TWICE and self._is_thing(lemma)]
        self.things = {lemma: self._thing(lemma) for lemma in sorted(chosen[:THINGS])}
        self.row = {lemma: row for row, lemma in enumerate(self.things)}
        words = Counter(word for entry in self._sample for word in entry.words)
        self.column = {word: n for n, (word, _) in enumerate(sorted(words.most_common(VOCABULARY)))}
        if self.titles:
            self._compare_titles()
        else:
            self._compare_captions()
        self._sample.clear()
        self.askable = [lemma for lemma in self.things if self._certain(lemma)]

    def _certain(self, lemma: str) -> bool:
        """Whether a thing may be called absent somewhere, so that asking for it is no giveaway."""
        if self.titles:
            return bool(self.apart_TT[self.row[lemma]].any())
        return self.named[lemma] >= SEEN and self.several > 0 and self.coverage(lemma) >= COVERED

    def subject(self, subjects: Sequence[tuple[Phrase, str]]) -> Phrase | None:
        """Which of the phrases that a title may be about it is about, given each with its head's lemma.

        Of a phrase with two possible heads the later; of several phrases the one that most titles have. None
        if none is a thing, or two are the same.
        """
        last = {phrase.first: (phrase, lemma) for phrase, lemma in subjects if lemma in self.row}
        found = max(last.values(), key=lambda entry: (self.main[entry[1]], entry[1]), default=None)
        same = found and sum(lemma == found[1] for _, lemma in last.values()) > 1
        return None if found is None or same else found[0]

    def is_common(self, lemma: str) -> bool:
        """Whether two training items or more name a thing by this word, which the tagger knows."""
        no_things = self.language.abstract | self.language.trailing | self.language.containers
        return self.named[lemma] >= TWICE and lemma not in no_things | self.guessed

    def _is_thing(self, lemma: str) -> bool:
        """A word that the tagger does not know may be a brand: attributes must vary before it."""
        language = self.language
        if lemma in language.abstract | language.trailing or len(lemma) < SHORTEST:
            return False
        if not self.titles and lemma in language.containers:
            return False
        if self.titles and self._described and self.articles[lemma] < COMMON * self.main[lemma]:
            return False  # names have no article
        known = lemma not in self.guessed
        return known or any(len(self.attributes[family, lemma]) >= TWICE for family in language.families)

    def _thing(self, lemma: str) -> Thing:
        # "baumwollkleid" has the lemma "kleid" but is none of its forms
        starts = [start for family in self.language.families.values() for start in family.starts]
        forms = Counter(
            {
                (form, plural): n
                for (form, plural), n in self.forms[lemma].items()
                if not any(form.lower().startswith(start) and not lemma.startswith(start) for start in starts)
            }
        ) or Counter({(self.written(lemma), False): 1})
        singular = _most((form, n) for (form, plural), n in forms.items() if not plural)
        plural = _most((form, n) for (form, plural), n in forms.items() if plural)
        n_plural = sum(n for (_, many), n in forms.items() if many)
        many = 2 * n_plural > forms.total()
        front, n = max(self.before[lemma].items(), key=lambda entry: (entry[1], entry[0]), default=("", 0))
        if front and n >= SEEN and n >= FIXED * self.main[lemma]:
            singular, plural = (f"{front} {form}" if form else "" for form in (singular, plural))
        bare = 10 if self.titles else 2  # short texts leave out articles
        mass = (
            self.stuff[lemma] > bare * self.counted[lemma] and self.stuff[lemma] >= SEEN and self._described
        )
        return Thing(singular or plural, plural or singular, many, mass)

    def _compare_titles(self) -> None:
        """Things that titles are about, over the sample.

        `apart_TT`: the thing of the row is certainly not shown where the title is about that of the column.
        `like_TT`: how much their texts have in common (cosine of positive pointwise mutual information).
        """
        size = len(self.things)
        about_WT = np.zeros((len(self.column), size), dtype=np.float32)
        sampled_T = np.zeros(size, dtype=np.float32)
        for entry in self._sample:
            if (main := self.subject(entry.subjects)) is not None:
                row = self.row[dict(entry.subjects)[main]]
                about_WT[[self.column[word] for word in entry.words if word in self.column], row] += 1
                sampled_T[row] += 1
        number_T = np.array([self.main[lemma] for lemma in self.things], dtype=np.float32)
        about_WT /= np.maximum(sampled_T, 1)
        own_T = [self.column.get(lemma, -1) for lemma in self.things]
        said_TT = np.array([about_WT[column] if column >= 0 else np.zeros(size) for column in own_T])
        said_TT = said_TT.reshape(size, size)
        mean_W = about_WT.mean(axis=1, keepdims=True) if size else about_WT
        profile_WT = np.log(np.maximum(about_WT, 1e-9) / np.maximum(mean_W, 1e-9)).clip(min=0)
        profile_WT[[column for column in own_T if column >= 0]] = 0
        profile_WT /= np.maximum(np.linalg.norm(profile_WT, axis=0), 1e-9)
        self.like_TT = profile_WT.T @ profile_WT
        np.fill_diagonal(self.like_TT, 0)
        seen_T = number_T >= SEEN
        order_TT = np.argsort(np.argsort(-self.like_TT, axis=1, kind="stable"), axis=1)
        near_TT = (self.like_TT >= LIKE) | (
            (np.minimum(order_TT, order_TT.T) < NEAREST) & (self.like_TT > CHANCE)
        )
        self.apart_TT = (said_TT < SAID) & (said_TT.T < SAID) & ~near_TT
        self.apart_TT &= seen_T[:, None] & seen_T[None, :] & ~self._related()

    def _compare_captions(self) -> None:
        """Things that captions name, over the sample.

        `together_TT`: items that name both. `implied_WT`: so many of the items with a word name the
        thing that the word makes it unsafe to call the thing absent. `rivals_TT`: one may be
        another's word for the other: different captions of an item name them, but hardly ever the same.
        """
        things = list(self.things)
        size = len(things)
        self.together_TT = np.zeros((size, size), dtype=np.int32)
        with_WT = np.zeros((len(self.column), size), dtype=np.float32)
        word_W = np.zeros(len(self.column), dtype=np.float32)
        same_TT, across_TT = (np.zeros((size, size), dtype=np.int32) for _ in range(2))
        for entry in self._sample:
            rows = sorted({self.row[head] for text in entry.heads for head in text if head in self.row})
            columns = [self.column[word] for word in entry.words if word in self.column]
            word_W[columns] += 1
            if not rows:
                continue
            named_XR = np.array(
                [[things[row] in text for row in rows] for text in entry.heads], dtype=np.int32
            )
            with_WT[np.ix_(columns, rows)] += 1
            self.together_TT[np.ix_(rows, rows)] += 1
            same_RR, any_R = named_XR.T @ named_XR, named_XR.sum(axis=0)
            same_TT[np.ix_(rows, rows)] += same_RR * max(1, len(named_XR) - 1)
            across_TT[np.ix_(rows, rows)] += np.outer(any_R, any_R) - same_RR
        np.fill_diagonal(self.together_TT, 0)
        share_WT = with_WT / np.maximum(word_W, 1)[:, None]
        base_T = np.array([self.named[lemma] for lemma in things]) / max(1, self.items)
        self.implied_WT = share_WT >= np.clip(2 * base_T, IMPLIED, CERTAIN)
        # said independently of each other, the two sides would be equal
        self.rivals_TT = (across_TT >= TWICE) & (same_TT < 0.5 * across_TT) | self._related()
        np.fill_diagonal(self.rivals_TT, True)

    def related(self, one: str, other: str) -> bool:
        """Whether two things are of one set of relatives, by name or (a word in no set) by ending."""
        return bool(self._groups(one) & self._groups(other))

    def _groups(self, lemma: str) -> set[int]:
        groups = list(enumerate(self.language.relatives))
        exact = {n for n, group in groups if lemma in group}
        ends = {n for n, group in groups for word in group if len(word) >= ENDING and lemma.endswith(word)}
        return exact or ends

    def _related(self) -> np.ndarray:
        """The same for all things, and whether two end alike, [T, T]."""
        groups = {lemma: self._groups(lemma) for lemma in self.things}
        rows = [
            [
                lemma[-ENDING:] == other[-ENDING:]
                or lemma.endswith(other)
                or other.endswith(lemma)
                or not groups[lemma].isdisjoint(groups[other])
                for other in self.things
            ]
            for lemma in self.things
        ]
        return np.array(rows, dtype=bool).reshape(len(rows), len(rows))

    def coverage(self, lemma: str) -> float:
        """Share of the pictures with a thing whose texts name it, by the lower bound of Chao (1987) for those
        that no text names."""
        one, two = self.by_one[lemma], self.by_two[lemma]
        unseen = one * (one - 1) / (2 * (two + 1))
        return self.named[lemma] / (self.named[lemma] + unseen) if self.named[lemma] else 0.0


def _most(forms: Iterable[tuple[str, int]]) -> str:
    return min(forms, key=lambda entry: (-entry[1], entry[0]), default=("", 0))[0]
