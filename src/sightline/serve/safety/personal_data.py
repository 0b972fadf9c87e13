"""Personal data in a text: found by form and, where it has them, by check digits; then masked.

Forms, not meaning: a number that only looks like a telephone number is taken for one.
docs/reports/safety.md has the measured errors. Every expression is bounded, so that the time grows with the
length of a text.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from sightline.serve.safety.text_folding import plain_signs

# Of SWIFT's IBAN registry: characters of an account number in each country.
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22,
    "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TN": 24,
    "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip

_AT = r"(?: {0,2}@ {0,2}| ?[\[({] ?at ?[\])}] ?)"
_DOT = r"(?: {0,2}\. {0,2}| ?[\[({] ?dot ?[\])}] ?)"
EMAIL = re.compile(
    rf"(?<![\w.+%-])[\w][\w.+%-]{{0,63}}{_AT}(?:[\w-]{{1,63}}{_DOT}){{1,5}}[a-z]{{2,24}}(?![\w-])",
    re.IGNORECASE,
)
_SPACED = r"(?: ?[-. /] ?| )"
PHONE = re.compile(
    rf"(?<![\w.+])(?<!\d[ -])(?:"
    rf"(?:\+|00)\d{{1,3}}{_SPACED}?(?:\(0?\d{{1,4}}\){_SPACED}?)?(?:\d{{1,4}}{_SPACED}?){{1,5}}\d{{2,4}}"
    rf"|(?:1{_SPACED})?(?:\([2-9]\d\d\) ?|[2-9]\d\d ?[-. ] ?)[2-9]\d\d ?[-. ] ?\d{{4}}"
    rf"|\(?0\d{{1,4}}\)?{_SPACED}\d{{2,4}}(?:{_SPACED}?\d{{2,4}}){{1,3}}"
    rf"|0[1-9]\d{{8,10}}"
    rf")(?!\w|[.-]\d)"
)
CALLED = re.compile(
    r"\b(?:tel|telephone|phone|mobile|cell|fax|call|whatsapp|sms)\b[ .:#]{0,3}"
    r"(?:(?:me|us|at|no|number|on)\b[ .:]{0,3}){0,2}"
    r"(?P<value>\+?\(?\d[\d ().-]{4,18}\d)(?!\w)",
    re.IGNORECASE,
)
CARD = re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-])")
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2} ?\d{2}(?: ?[A-Z0-9]){11,34}", re.IGNORECASE)
IPV4 = re.compile(r"(?<![\w.])(?<!version )(?<!ver\. )\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)", re.IGNORECASE)
IPV6 = re.compile(
    r"(?<![\w:.])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?![\w:])", re.IGNORECASE
)


class Found(NamedTuple):
    """Personal data in a text: its kind, and the first and the last + 1 of its characters."""

    kind: str
    start: int
    end: int


def find(text: str, kinds: Collection[str]) -> list[Found]:
    """What a text holds of some of `FINDERS`, in its order; of two that overlap the longer one."""
    plain, places = plain_signs(text)
    spans = [
        Found(kind, places[start], places[end - 1] + 1)
        for kind, finder in FINDERS.items() if kind in kinds
        for start, end in finder(plain)
    ]  # fmt: skip
    kept: list[Found] = []
    for span in sorted(spans, key=lambda span: span.start - span.end):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def masked(text: str, found: Collection[Found]) -> str:
    """The text with `[kind]` in the place of what was found, which is in order."""
    parts, last = [], 0
    for kind, start, end in found:
        parts += [text[last:start], f"[{kind}]"]
        last = end
    return "".join([*parts, text[last:]])


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


def iban(account: str) -> bool:
    """Whether an account number without spaces has its country's length and check digits (ISO 13616)."""
    account = account.upper()
    if len(account) != IBAN_LENGTHS.get(account[:2]):
        return False
    return int("".join(str(int(sign, 36)) for sign in account[4:] + account[:4])) % 97 == 1


def _emails(text: str) -> Iterator[tuple[int, int]]:
    yield from (match.span() for match in EMAIL.finditer(text))


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for match in PHONE.finditer(text):
        if 9 <= _digits(match[0]) <= 15:
            yield match.span()
    yield from (match.span("value") for match in CALLED.finditer(text) if 6 <= _digits(match["value"]) <= 15)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in CARD.finditer(text):
        if luhn(re.sub(r"\D", "", match[0])):
            yield match.span()


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in IBAN.finditer(text):
        places = [place for place, sign in enumerate(match[0]) if sign != " "]
        length = IBAN_LENGTHS.get(match[0][:2].upper(), len(places) + 1)
        account = "".join(match[0][place] for place in places[:length])
        if length <= len(places) and account.isascii() and iban(account):
            yield match.start(), match.start() + places[length - 1] + 1


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for match in IPV4.finditer(text):
        if _is_address(match[0]):
            yield match.span()
    for match in IPV6.finditer(text):
        groups = [group for group in match[0].split(":") if group]
        if len(groups) >= 2 and any(sign.isdigit() for sign in match[0]) and _is_address(match[0]):
            yield match.span()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _digits(text: str) -> int:
    return sum(sign.isdigit() for sign in text)


FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails, "phone": _phones, "card": _cards, "iban": _ibans, "ip": _addresses,
}  # fmt: skip
