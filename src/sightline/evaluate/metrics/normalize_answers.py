"""How a free-text answer is compared: one normalisation for truth, predictions and baselines."""

import re

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_ARTICLES = frozenset({"a", "an", "the"})


def words(text: str) -> list[str]:
    """Lower-case words of `text`, punctuation dropped, inner hyphens and apostrophes kept."""
    return _WORD.findall(text.lower())


def normalise(text: str) -> str:
    """Words joined by single spaces, articles dropped: 'The left.' and 'left' are the same answer."""
    return " ".join(word for word in words(text) if word not in _ARTICLES)


def same(truth: str, answer: str) -> bool:
    """Whether an answer is right."""
    return normalise(truth) == normalise(answer)


def yes_no(text: str) -> str:
    """'yes' or 'no', whichever comes first in the answer; 'invalid' without either."""
    return next((word for word in words(text) if word in ("yes", "no")), "invalid")
