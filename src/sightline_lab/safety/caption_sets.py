"""lab/safety/captions.yaml as labelled captions, its slots drawn by a seeded generator."""

import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from ruamel.yaml import YAML

from sightline.core.params.checks import Settings
from sightline.serve.safety.personal_data import FINDERS, IBAN_LENGTHS, iban, luhn
from sightline_lab.safety.question_sets import FOLDER, SLOT

DRAWN = 30  # captions of a wording with slots
Texts = Annotated[tuple[str, ...], Field(strict=False)]


class CaptionSet(Settings):
    """The file: captions that hold personal data, by kind, or a blocked word, and captions without."""

    held: dict[str, Texts]
    free: Texts
    blocked: Texts
    clean: Texts


class Caption(Settings):
    """`kind`: what it holds (of FINDERS, or `blocked_word`), None for nothing; `family`: its wording."""

    text: str
    kind: str | None
    group: str
    family: str


def read(root: Path, blocked_words: Sequence[str], rng: np.random.Generator) -> list[Caption]:
    """Every wording, those with slots DRAWN times. `blocked_words`: of the rules."""
    path = root / FOLDER / "captions.yaml"
    document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    found = CaptionSet.model_validate(document, strict=False)
    assert set(found.held) == set(FINDERS)
    slots = _slots(rng, blocked_words)
    groups = [("held", kind, texts) for kind, texts in found.held.items()]
    groups += [
        ("free", None, found.free),
        ("blocked", "blocked_word", found.blocked),
        ("clean", None, found.clean),
    ]
    captions: dict[str, Caption] = {}
    for group, kind, texts in groups:
        for family in texts:
            for _ in range(DRAWN if SLOT.search(family) else 1):
                text = SLOT.sub(lambda match: slots[match[1]](), family)
                captions.setdefault(text, Caption(text=text, kind=kind, group=group, family=family))
    return list(captions.values())


def _slots(rng: np.random.Generator, blocked: Sequence[str]) -> dict[str, Callable[[], str]]:
    def digits(count: int) -> str:
        return "".join(str(digit) for digit in rng.integers(0, 10, count))

    def one(*choices: str) -> str:
        return choices[int(rng.integers(len(choices)))]

    def area() -> str:
        return str(rng.integers(2, 10)) + digits(2)

    def email() -> str:
        name = one("anna", "j.smith", "info", "bob_77", "maria-luisa", "t.o.m", "sales+web", "x1")
        host = one("example", "mail-box", "foto")
        return f"{name}{rng.integers(100)}@{host}.{one('com', 'org', 'de', 'co.uk', 'studio')}"

    def apart(text: str, at: str, dot: str) -> str:
        return text.replace("@", at).replace(".", dot)

    def card(length: int = 16, start: str = "") -> str:
        body = (start or one("4", "51", "55", "6011")) + digits(length)
        body = body[: length - 1]
        return next(body + str(check) for check in range(10) if luhn(body + str(check)))

    def fours(text: str, between: str = " ") -> str:
        return between.join(text[start : start + 4] for start in range(0, len(text), 4))

    def account() -> str:
        country = one("DE", "GB", "FR", "NL", "ES", "IT", "AT", "CH", "PL", "NO")
        body = digits(IBAN_LENGTHS[country] - 4)
        if country in ("GB", "NL"):
            body = "BANK" + body[4:]
        return next(
            f"{country}{check:02d}{body}" for check in range(100) if iban(f"{country}{check:02d}{body}")
        )

    def wrong(text: str) -> str:
        return text[:-1] + str((int(text[-1]) + 1) % 10)

    def word() -> str:
        return one(*blocked).removesuffix("*")

    def ipv6() -> str:
        groups = [f"{rng.integers(0x1000, 0x10000):x}" for _ in range(int(rng.integers(2, 5)))]
        return f"2001:db8:{':'.join(groups)}::1"

    def local() -> str:
        return f"{digits(3)}-{digits(4)}"

    return {
        "email": email,
        "email_shown_to_people": lambda: apart(email(), " (at) ", " (dot) "),
        "email_with_spaces": lambda: apart(email(), " @ ", " . "),
        "phone_north_america": lambda: one("({}) {}-{}", "{}-{}-{}", "{}.{}.{}").format(
            area(), area(), digits(4)
        ),
        "phone_local": local,
        "phone_international": lambda: (
            f"+{one('44', '49', '33', '91', '81')} {digits(2)} {digits(4)} {digits(4)}"
        ),
        "phone_britain": lambda: one(f"020 7{digits(3)} {digits(4)}", f"07{digits(3)} {digits(6)}"),
        "phone_germany": lambda: one(f"030 {digits(7)}", f"(089) {digits(6)}", f"0171/{digits(7)}"),
        "phone_france": lambda: " ".join(["06", digits(2), digits(2), digits(2), digits(2)]),
        "phone_eight_digits": lambda: f"6{digits(3)} {digits(4)}",
        "phone_run_of_digits": lambda: f"49{rng.integers(150, 180)}{digits(8)}",
        "card_in_fours": lambda: fours(card()),
        "card_run": card,
        "card_with_hyphens": lambda: fours(card(), "-"),
        "amex": lambda: card(15, "37"),
        "card_wrong": lambda: fours(wrong(card())),
        "iban_in_fours": lambda: fours(account()),
        "iban_run": account,
        "iban_small_letters": lambda: account().lower(),
        "iban_wrong": lambda: fours(wrong(account())),
        "ipv4": lambda: ".".join(str(rng.integers(1, 255)) for _ in range(4)),
        "ipv6": ipv6,
        "year": lambda: str(rng.integers(1900, 2030)),
        "date": lambda: one("{0}-{1:02d}-{2:02d}", "{2}.{1}.{0}", "{1}/{2}/{0}").format(
            rng.integers(1990, 2027), rng.integers(1, 13), rng.integers(1, 29)
        ),
        "day": lambda: one("Monday", "Friday", "May 4th"),
        "time": lambda: f"{rng.integers(24)}:{rng.integers(60):02d}" + one("", ":30"),
        "small": lambda: str(rng.integers(1, 400)),
        "price": lambda: one("{},99", "{}.50").format(rng.integers(1, 2000)),
        "isbn": lambda: f"978-{rng.integers(10)}-{digits(2)}-{digits(6)}-{rng.integers(10)}",
        "plate": lambda: (
            "".join(rng.choice(list(string.ascii_uppercase), 2)) + f" {rng.integers(100, 10_000)}"
        ),
        "thousands": lambda: str(rng.integers(1000, 9999)),
        "version": lambda: f"{rng.integers(20)}.{rng.integers(20)}.{rng.integers(20)}.{rng.integers(20)}",
        "millions": lambda: f"{rng.integers(1, 90)} {digits(3)} {digits(3)}",
        "order": lambda: digits(5),
        "latitude": lambda: f"{rng.integers(90)}.{digits(5)}",
        "longitude": lambda: f"{rng.integers(180)}.{digits(5)}",
        "hex": lambda: "".join(rng.choice(list("0123456789abcdef"), 40)),
        "blocked": word,
        "blocked_capitals": lambda: word().upper(),
        "blocked_in_digits": lambda: word().translate(str.maketrans("ioa", "10@")),
        "blocked_wide": lambda: "".join(chr(ord(sign) + 0xFEE0) for sign in word()),
        "blocked_apart": lambda: " ".join(word()),
        "blocked_plural": lambda: f"{word().removesuffix('s')}s",
        "blocked_star": lambda: (lambda text: f"{text[0]}*{text[2:]}")(word()),
    }  # fmt: skip
