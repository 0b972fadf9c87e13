"""Patterns over the words of a question, as deploy/safety/english.yaml writes and explains them.

A pattern becomes regular expressions over the words, each followed by the names of the lists that hold it
(`man/person/grown `). Gaps are bounded, so that the time grows with the length of a text and no faster.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

GAP = 5  # words that `..` may stand for
SMALL = "small"  # the list of small words, which `_` is none of
_GONE = "-/small "  # what stands for words that a spare pattern took out
_NAME = re.compile(r"<(\w+)>('s)?")
_OTHER = re.compile(r"!<(\w+)>")
_PLAIN = re.compile(r"[^\W_]+(?:'[^\W_]+)?\*?")
_REST = r"(?:/[^ ]*)? "


class PatternError(ValueError):
    """A pattern that is not written as the language asks."""


class Lexicon:
    """The lists of a rules file. `small`: the words that `_` does not stand for. Raises PatternError."""

    def __init__(self, lists: Mapping[str, Sequence[str]], small: str) -> None:
        self._words: dict[str, set[str]] = {}
        self._beginnings: list[tuple[str, str]] = []
        self._endings: list[tuple[str, str]] = []
        self._phrases: dict[str, list[str]] = {name: [] for name in (SMALL, *lists)}
        self._compiled: dict[str, str] = {}
        for word in small.split():
            self._words.setdefault(word, set()).add(SMALL)
        for name, items in lists.items():
            for item in items:
                for part in item.split("|") if " " not in item.strip() else [item]:
                    self._enter(name, part.strip())

    def _enter(self, name: str, part: str) -> None:
        if part.startswith("*") and part[1:].isalpha():
            self._endings.append((part[1:], name))
        elif not _PLAIN.fullmatch(part):
            self._phrases[name].append(part)
        elif part.endswith("*"):
            self._beginnings.append((part[:-1], name))
        else:
            self._words.setdefault(part, set()).add(name)

    def annotated(self, words: Iterable[str]) -> str:
        """The words, each with its lists; a possessive has those of its word as `list's`."""
        return "".join(f"{word}{''.join(f'/{name}' for name in self._names(word))} " for word in words)

    def _names(self, word: str) -> list[str]:
        owner = word.removesuffix("'s")
        names = {f"{name}'s" for name in self._of(owner)} if owner != word else set()
        return sorted(names | self._of(word))

    def _of(self, word: str) -> set[str]:
        names = set(self._words.get(word, ()))
        names |= {name for start, name in self._beginnings if word.startswith(start)}
        return names | {name for end, name in self._endings if word.endswith(end)}

    def pattern(self, text: str) -> list[re.Pattern[str]]:
        """The expressions that all match a text which the pattern matches. Raises PatternError."""
        parts = [part.split() for part in text.split(" & ")]
        if not all(parts):
            raise PatternError(f"{text!r}: an empty pattern, or nothing on one side of &")
        return [re.compile(f"(?<![^ ]){self._expression(part, text)}") for part in parts]

    def _expression(self, elements: Sequence[str], text: str) -> str:
        return "".join(self._element(element, text) for element in elements)

    def _element(self, element: str, text: str) -> str:
        if element == "..":
            return rf"(?:[^ ]+ ){{0,{GAP}}}?"
        if element == "^":
            return r"\A"
        optional = element.endswith("?")
        choices = [self._choice(choice, text) for choice in element.removesuffix("?").split("|")]
        return f"(?:{'|'.join(choices)}){'?' if optional else ''}"

    def _choice(self, choice: str, text: str) -> str:
        if choice == "_":
            return rf"(?![^ ]*/{SMALL}(?![^/ ]))[^ ]+ "
        if other := _OTHER.fullmatch(choice):
            names = "|".join([SMALL, *self._inside(other[1], text)])
            return rf"(?![^ ]*/(?:{names})(?![^/ ]))[^ ]+ "
        if choice == "$":
            return r"\Z"
        if named := _NAME.fullmatch(choice):
            return self._list(named[1], named[2] or "", text)
        if _PLAIN.fullmatch(choice):
            return (
                f"{re.escape(choice[:-1])}[^ ]* " if choice.endswith("*") else f"{re.escape(choice)}{_REST}"
            )
        raise PatternError(
            f"{text!r}: {choice!r} is no word, no <list> of the file, and none of !<list> .. _ ^ $ | ? * &"
        )

    def _inside(self, name: str, text: str) -> list[str]:
        """The list and the lists that are items of it. Raises PatternError for one that is not there."""
        self._list(name, "", text)
        parts = [part for phrase in self._phrases[name] for part in phrase.split("|")]
        return [name, *(named[1] for part in parts if (named := _NAME.fullmatch(part)))]

    def _list(self, name: str, owner: str, text: str) -> str:
        if name not in self._phrases:
            raise PatternError(f"{text!r}: no list <{name}>; there are {', '.join(self._phrases)}")
        key = name + owner
        if key not in self._compiled:
            self._compiled[key] = ""  # a list inside itself adds nothing
            phrases = (
                [] if owner else [self._expression(phrase.split(), phrase) for phrase in self._phrases[name]]
            )
            self._compiled[key] = "|".join([rf"[^ ]*/{key}(?![^/ ])[^ ]* ", *phrases])
        return f"(?:{self._compiled[key]})"


class Rules:
    """The patterns of one category: `catch` it, unless what they need was taken out by `spare`. Raises
    PatternError."""

    def __init__(self, lexicon: Lexicon, spare: Iterable[str], catch: Iterable[str]) -> None:
        self._spare = [lexicon.pattern(text)[0] for text in spare]
        self._catch = [lexicon.pattern(text) for text in catch]

    def catches(self, annotated: str) -> bool:
        """Whether a text, as `Lexicon.annotated` makes it, is of the category."""
        for spare in self._spare:
            annotated = spare.sub(_GONE, annotated)
        return any(all(part.search(annotated) for part in parts) for parts in self._catch)
