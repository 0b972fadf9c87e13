"""A text as the filters read it: what Unicode offers to write a word differently is undone.

Invisible signs and accents go, compatibility forms (full width, ligatures) and letters of other scripts that
look like Latin ones become those, digits and signs inside a word become the letters they stand for, and
letters apart are joined.
"""

import re
import unicodedata

_LATIN = dict(zip(
    "авгеёзікмнорстухѕјһԁԛԝѵɡɑıɩαβγεζηικμνορτυχωϲ",
    "abreeeikmhopctyxsjhdqwvgaiiabyezniknvoptuxwc",
    strict=True,
))  # fmt: skip
_LOOKS_LIKE = str.maketrans({**_LATIN, "’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'", "_": " "})
_LETTER_OF = str.maketrans("01345789@$!|", "oieastbgasil")
_MIXED = re.compile(r"[a-z0-9@$!|]*[a-z][a-z0-9@$!|]*")  # a word; signs in it stand for letters
_APART = re.compile(r"(?<!\w)\w(?:[\W_]\w){2,}(?!\w)")
_BETWEEN = re.compile(r"(?<=\w)(?<!\w\w)[\W_](?=\w(?!\w))")  # two single letters
SINGLE = 4  # words that a text must have before its single letters are taken for letters apart
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*'?")
_SHORT = {
    "'re": " are", "'m": " am", "'ve": " have", "'ll": " will", "'d": " would", "n't": "",
}  # fmt: skip
_ENDING = re.compile(r"('re|'m|'ve|'ll|'d|n't)\b")
_IS = re.compile(r"\b(what|who|where|when|how|which|that|there|here|he|she|it|this)'s\b")
_CARELESS = re.compile(r"\b(what|who|where|how)s\b|\b(is|are|was|were|do|does|did)nt\b")


def words(text: str) -> list[str]:
    """The words of a text in small letters; a possessive keeps its 's."""
    plain = "".join(
        sign
        for sign in unicodedata.normalize("NFKD", text)
        if unicodedata.category(sign) not in ("Mn", "Me", "Cf")
    )
    plain = plain.casefold().translate(_LOOKS_LIKE)
    plain = _MIXED.sub(lambda match: match[0].rstrip("!|").translate(_LETTER_OF), plain)
    plain = _joined(plain)
    plain = _IS.sub(r"\1 is", plain)
    plain = _ENDING.sub(lambda match: _SHORT[match[0]], plain)
    plain = _CARELESS.sub(lambda match: f"{match[1]} is" if match[1] else match[2], plain)
    return [_possessive(match[0]) for match in _WORD.finditer(plain)]


def _joined(text: str) -> str:
    """Letters apart as words: in a text of such letters wider gaps part its words, elsewhere three letters or
    more are one."""
    parts = _WORD.findall(text)
    if len(parts) > SINGLE and 2 * sum(len(part) == 1 for part in parts) > len(parts):
        return _BETWEEN.sub("", text)
    return _APART.sub(lambda match: re.sub(r"[\W_]", "", match[0]), text)


def _possessive(word: str) -> str:
    """`players'` as `players's`, so that both forms end alike."""
    return f"{word}s" if word.endswith("'") else word


def plain_signs(text: str) -> tuple[str, list[int]]:
    """(text, place of each of its signs in the original): compatibility forms as plain ones, invisible signs
    left out. Signs keep their case."""
    if text.isascii():
        return text, list(range(len(text)))
    signs: list[str] = []
    places: list[int] = []
    for place, sign in enumerate(text):
        if unicodedata.category(sign) == "Cf":
            continue
        for plain in unicodedata.normalize("NFKC", sign):
            signs.append(plain)
            places.append(place)
    return "".join(signs), places
