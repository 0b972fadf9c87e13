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
_LETTER_OF = dict(zip("01345789@$!|", "oieastbgasil", strict=True))
_SIGN = re.compile(
    r"(?<=[a-z])[01345789@$!|](?=[a-z])"  # inside a word: r4ce
    r"|(?<![a-z0-9])[01345@$](?=[a-z]{3})"  # at its begin: @sian
    r"|(?<=[a-z]{2})[01345@$](?![a-z0-9])"  # at its end: wh0
)
_APART = re.compile(r"(?<!\w)\w(?:[\W_]\w){2,}(?!\w)")
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
    plain = _SIGN.sub(lambda match: _LETTER_OF[match[0]], plain)
    plain = _APART.sub(lambda match: re.sub(r"[\W_]", "", match[0]), plain)
    plain = _IS.sub(r"\1 is", plain)
    plain = _ENDING.sub(lambda match: _SHORT[match[0]], plain)
    plain = _CARELESS.sub(lambda match: f"{match[1]} is" if match[1] else match[2], plain)
    return [_possessive(match[0]) for match in _WORD.finditer(plain)]


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
