"""Which product each item of a catalogue is: a pure function of (seed, item number).

An item is a design of its own, the design before it in another colour (as shops list them), or a true copy:
the picture of an earlier item, changed a little, under another text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np

from sightline_lab.catalogue.vocabulary import (
    ACCENTS,
    AUDIENCES,
    KINDS,
    PATTERNS,
    SHADES,
    Shade,
)

T = TypeVar("T")
VARIANTS = 0.15  # share of items that are the item before them in another colour
NO_PICTURE = 0.03
REACH = 5000  # a copy is made of one of so many items before it
CHANGES = ("re-encoded", "rescaled", "shifted", "brightness")
STARTS = (
    "Al",
    "Bre",
    "Cor",
    "Da",
    "El",
    "Fjo",
    "Gra",
    "Ha",
    "Io",
    "Ka",
    "Lu",
    "Mar",
    "No",
    "Or",
    "Pe",
    "Sol",
)
ENDS = ("bo", "den", "fia", "lis", "ma", "nor", "rell", "ssa", "ta", "va", "vik", "zen")


@dataclass(frozen=True)
class ShownPart:
    """A part as it is drawn."""

    count: int
    shade: Shade | None  # None: as the product


@dataclass(frozen=True)
class Product:
    """What a picture shows and its text is about."""

    number: int
    kind: str
    shade: Shade
    second: Shade | None  # of the pattern
    pattern: str  # plain, or one of PATTERNS
    material: str
    parts: dict[str, ShownPart] = field(hash=False)
    audience: str  # women, men, kids, or nothing
    brand: str
    model: str
    design: int  # number of the first item with this shape
    has_picture: bool
    copy_of: int | None  # the number of the item whose picture this is
    change: str  # of CHANGES, for a copy

    @property
    def absent(self) -> list[str]:
        """Parts that others of the kind have."""
        return [part.name for part in KINDS[self.kind].parts if part.name not in self.parts]


def generator(seed: int, number: int, purpose: int) -> np.random.Generator:
    """The random numbers of one item for one purpose."""
    return np.random.Generator(np.random.PCG64([seed, number, purpose]))


@lru_cache(maxsize=20_000)
def product(seed: int, number: int, copies: float) -> Product:
    """The item of this number; `copies` is the share of true copies."""
    rng = generator(seed, number, 0)
    lot = rng.random()
    if number and lot < copies:
        source = product(seed, int(rng.integers(max(0, number - REACH), number)), copies)
        if source.has_picture:
            change = str(rng.choice(CHANGES))
            origin = source.number if source.copy_of is None else source.copy_of
            return replace(source, number=number, copy_of=origin, change=change)
    has_picture = bool(rng.random() >= NO_PICTURE)
    if number and lot < copies + VARIANTS:
        before = product(seed, number - 1, copies)
        if before.copy_of is None:
            used = family_colors(seed, number - 1, copies)
            shade = pick(rng, [shade for shade in SHADES if shade.base not in used])
            second = before.second and _contrast(rng, shade)
            return replace(before, number=number, shade=shade, second=second, has_picture=has_picture)
    return _design(rng, number, has_picture)


def family_colors(seed: int, number: int, copies: float) -> set[str]:
    """Base colours of the item and of the items before it that share its design."""
    last = product(seed, number, copies)
    return {product(seed, each, copies).shade.base for each in range(last.design, number + 1)}


def _design(rng: np.random.Generator, number: int, has_picture: bool) -> Product:
    """A product of its own."""
    name = str(rng.choice(list(KINDS)))
    kind = KINDS[name]
    shade = pick(rng, SHADES)
    patterned = rng.random() < kind.patterned
    parts = {}
    for part in kind.parts:
        if rng.random() < part.chance:
            accent = _contrast(rng, shade) if part.colored else None
            parts[part.name] = ShownPart(int(rng.choice(part.counts)), accent)
    return Product(
        number=number,
        kind=name,
        shade=shade,
        second=_contrast(rng, shade) if patterned else None,
        pattern=str(rng.choice(PATTERNS)) if patterned else "plain",
        material=str(rng.choice(kind.materials)),
        parts=parts,
        audience=str(rng.choice(list(AUDIENCES))) if kind.worn and rng.random() < 0.7 else "",
        brand=str(rng.choice(STARTS)) + str(rng.choice(ENDS)),
        model=str(rng.choice(STARTS)) + str(rng.choice(ENDS)),
        design=number,
        has_picture=has_picture,
        copy_of=None,
        change="",
    )


def _contrast(rng: np.random.Generator, shade: Shade) -> Shade:
    """An accent whose colour differs clearly from the shade's."""
    lightness = sum(shade.rgb)
    return pick(
        rng,
        [
            accent
            for accent in ACCENTS
            if accent.base != shade.base and abs(sum(accent.rgb) - lightness) > 100
        ],
    )


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of the choices."""
    return choices[int(rng.integers(len(choices)))]
