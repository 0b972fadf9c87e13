"""How an answer in free words is read, and what counts as a refusal.

yes or no: whichever comes first among the words; neither is invalid (normalize_answers.yes_no).
A question with a closed list of answers: the one that is named, in any of its names (ALIASES); none, or
several, is invalid. Any other question: the words as they are. What is invalid counts as wrong.
"""

import re
from collections.abc import Sequence

from sightline.evaluate.metrics.normalize_answers import normalise, words, yes_no
from sightline.evaluate.metrics.vqa_accuracy import DIGITS

YES_NO = ("yes", "no")
INVALID = "invalid"
RULE = (
    "Yes or no: whichever word comes first; neither is invalid. Where the answers are a closed list: the one "
    "that is named; none or several is invalid. Invalid answers count as wrong."
)
ALIASES = {
    **DIGITS, "no": "0", "big": "large", "tiny": "small", "over": "above", "under": "below",
    "beneath": "below", "underneath": "below", "violet": "purple",
    "turquoise": "cyan", "teal": "cyan", "aqua": "cyan",
}  # fmt: skip
# How a refusal begins; a plain "no" is an answer. Apostrophes are written as '.
REFUSALS = re.compile(
    r"(?:i'm |i am )?sorry\b|i(?:'m| am) (?:unable|not able)\b|i (?:can't|cannot|can not|won't|will not)\b|"
    r"(?:as an|as a) (?:ai|language model)\b|unfortunately,? i (?:can't|cannot|am|'m)\b"
)


def read(text: str, choices: Sequence[str]) -> str:
    """The answer that `text` gives, one of `choices` or INVALID; without choices `text`."""
    if tuple(choices) == YES_NO:
        return yes_no(text)
    if not choices:
        return text
    known = {normalise(choice): choice for choice in choices}
    if (whole := normalise(text)) in known:
        return known[whole]
    named = {known[word] for word in (_own_name(word, known) for word in words(text)) if word in known}
    return named.pop() if len(named) == 1 else INVALID


def _own_name(word: str, known: dict[str, str]) -> str:
    return word if word in known else ALIASES.get(word, word)


def refuses(text: str) -> bool:
    """Whether the model declines to answer."""
    return REFUSALS.match(" ".join(text.lower().replace("’", "'").split())) is not None
