"""What the corpus lexicon must know of a language: closed word lists, and how questions are put."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

FAMILIES = ("color", "material", "pattern")


@dataclass(frozen=True)
class Thing:
    """A thing as questions name it: its singular and plural, which of the two is usual, whether it has none.

    `mass`: stuff that is not counted (snow).
    """

    singular: str
    plural: str
    many: bool
    mass: bool

    @property
    def usual(self) -> str:
        """The form in which it is usually named: dress, shoes."""
        return self.plural if self.many else self.singular


@dataclass(frozen=True)
class Family:
    """Attributes of which a thing has one: the words and the value each stands for.

    `alike` are sets of values of which one does not rule out another (oak is wood); `rivals` are the values
    that a question with the answer no may name. `stems`: a compound that begins (materials) or ends
    (colours) with one has that value. `keys` are the words of "Color: red". `near` are words that make a
    value doubtful ("faux leather"), `told` what comes before a value that stands behind the thing
    ("made of", "in"). `general` are values that a more exact one goes before (metal, steel); `unasked` those
    that are no answer (multicolor).
    """

    words: Mapping[str, str]
    alike: tuple[frozenset[str], ...]
    rivals: frozenset[str]
    keys: frozenset[str]
    near: frozenset[str]
    told: frozenset[str]
    starts: Mapping[str, str]
    ends: Mapping[str, str]
    general: frozenset[str] = frozenset()
    unasked: frozenset[str] = frozenset()

    def compatible(self, value: str) -> set[str]:
        """Values that a thing with this value may be said to have as well."""
        return {value}.union(*(group for group in self.alike if value in group))


@dataclass(frozen=True)
class Questions:
    """How a question is put; each gives one line. The answers yes and no stay English: measures read them."""

    what: str
    shown: Callable[[Thing], str]  # is it in the picture?
    kind_of: Callable[[Thing], str]  # is that what the picture is of?
    number: Callable[[Thing], str]
    open: Mapping[str, Callable[[Thing], str]]  # family -> what colour is it?
    polar: Mapping[str, Callable[[Thing, str], str]]  # family -> is it red?


@dataclass(frozen=True)
class Language:
    """Word lists (lower case) and question forms.

    `model` is HanTa's; `cased`: nouns have a capital. A word is known if its log-probability is at least
    `known_above`; texts of which a smaller share than `known_share` is known are in another language. `tags`
    are beginnings of HanTa's tags, the first that fits decides.
    `containers` stand before what they hold ("pair of"), `trailing` behind the thing of a title ("mug set").
    `abstract` are nouns that are no things, `persons` those of `audience` that a title may be about ("woman
    wearing a hat"). `vague` words make a number uncertain. `relatives` are sets of things of which one is
    never called absent because another is named.
    """

    name: str
    model: str
    cased: bool
    known_above: float
    known_share: float
    tags: tuple[tuple[str, str], ...]
    articles: frozenset[str]
    indefinite: frozenset[str]
    numbers: Mapping[str, int]
    joining: frozenset[str]
    of: frozenset[str]
    containers: frozenset[str]
    trailing: frozenset[str]
    abstract: frozenset[str]
    audience: frozenset[str]
    persons: frozenset[str]
    units: frozenset[str]
    vague: frozenset[str]
    families: Mapping[str, Family]
    relatives: tuple[frozenset[str], ...]
    questions: Questions


def table(rows: str) -> tuple[dict[str, str], tuple[frozenset[str], ...]]:
    """Words of a family from rows `value: other words for it > values that it does not rule out`.

    Returns (word -> value, sets of values alike).
    """
    words: dict[str, str] = {}
    alike: list[frozenset[str]] = []
    for row in rows.strip().splitlines():
        left, _, near = row.partition(">")
        value, _, others = left.partition(":")
        value = value.strip().replace("_", " ")
        words |= dict.fromkeys([value, *others.split()], value)
        if near.split():
            alike.extend(frozenset((value, other)) for other in near.split())
    return words, tuple(alike)


def groups(rows: str) -> tuple[frozenset[str], ...]:
    """A set of words per row."""
    return tuple(frozenset(row.split()) for row in rows.strip().splitlines())
