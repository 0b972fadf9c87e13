"""English texts of the catalogue."""

from collections.abc import Sequence

import numpy as np

from sightline_lab.catalogue.products import Product, pick
from sightline_lab.catalogue.prose import Phrase
from sightline_lab.catalogue.vocabulary import ACCENTS, AUDIENCES, KINDS, Part

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
MARKS = {"striped": "stripes", "dotted": "dots", "checked": "checks"}
PARTNERS = ("blue jeans", "a black belt", "white sneakers", "a brown leather bag", "a grey scarf",
            "a red hat", "a wooden table", "a green plant")  # fmt: skip
NOT_SEEN = (
    "Free returns within 30 days.", "Comes in a gift box.", "Machine washable at 30 degrees.",
    "Please note our size chart.", "Only a few left in stock!", "Ships within two working days.",
)  # fmt: skip
USES = {
    "Shoes": ("Comfortable all day long.", "Made for long walks.", "A favourite of our customers."),
    "Clothing": ("Soft on the skin.", "True to size.", "Easy to combine, at the office or on holiday."),
    "Accessories": ("A fine gift.", "Adds the finishing touch.", "Light and sturdy."),
    "Bags": ("Room for everything you need.", "Your companion for every day.", "Sturdy and light."),
    "Kitchen": ("Dishwasher safe.", "For breakfast and the office.", "Easy to clean."),
    "Furniture": ("Easy to assemble.", "Timeless design.", "Fits into every room."),
    "Home textiles": ("Soft and warm.", "Filling included.", "Brings colour to the living room."),
    "Home decoration": ("An eye-catcher.", "Made by hand.", "Each one is unique."),
}


class English:
    """See prose.Language."""

    def nouns(self, product: Product) -> Sequence[str]:
        return KINDS[product.kind].en

    def titles(self, product: Product, noun: str) -> Sequence[Phrase]:
        shade, material, brand, model = product.shade.en, product.material, product.brand, product.model
        style = "" if product.pattern == "plain" else product.pattern + " "
        pattern = ("pattern",) if style else ()
        who = AUDIENCES[product.audience][0] + " " if product.audience else ""
        whole = f"{who}{style}{noun}"
        named = ("kind", "color", *pattern)
        marks = _marks(product)
        return (
            Phrase(f"{_title(whole)}, {shade}", named),
            Phrase(f"{brand} {_title(f'{who}{shade} {style}{noun}')}", named),
            Phrase(f"{_title(f'{who}{style}{material} {noun}')} in {shade}", (*named, "material")),
            Phrase(f'{brand} "{model}" {noun}, {shade}{marks.text}', ("kind", "color", *marks.claims)),
            Phrase(f"{_title(noun)} {model} - {material}, {shade}", ("kind", "color", "material")),
            Phrase(f"{brand} {model} | {_title(whole)} | {shade}", named),
            Phrase(f"{_title(whole)} by {brand} & Sons ({shade})", named),
            Phrase(f"{brand} {model} {_title(noun)}", ("kind",)),
        )

    def sentences(self, product: Product, noun: str, rng: np.random.Generator) -> Sequence[Phrase]:
        kind = KINDS[product.kind]
        shade, material = product.shade.en, product.material
        style = "" if product.pattern == "plain" else product.pattern + " "
        pattern = ("pattern",) if style else ()
        verb = "are" if kind.plural else "is"
        this = f"These {noun}" if kind.plural else f"This {noun}"
        a = f"A pair of {style}{shade} {noun}" if kind.plural else _a(f"{style}{shade} {noun}").capitalize()
        marks = _marks(product)
        pool = [
            Phrase(f"{a} made of {material}.", ("kind", "color", "material", *pattern)),
            Phrase(f"{this} {verb} {shade}{marks.text}.", ("kind", "color", *marks.claims)),
            Phrase(f"{this} {verb} made of {material}.", ("kind", "material")),
            Phrase(f"Classic {style}{noun} in {shade}.", ("kind", "color", *pattern)),
            Phrase(pick(rng, USES[kind.category])),
            Phrase(
                f"{product.brand} has made {kind.en[0]}{'' if kind.plural else 's'} since 1954.", ("kind",)
            ),
        ]
        shown = [part for part in kind.parts if part.name in product.parts]
        rng.shuffle(shown)
        if shown:
            told = shown[: int(rng.integers(1, 4))]
            listed = _listed([_part(product, part, rng) for part in told])
            claims = ("kind", *(f"part: {part.name}" for part in told))
            pool.append(Phrase(f"{this} {'have' if kind.plural else 'has'} {listed}.", claims))
            pool.append(Phrase(f"With {listed}.", claims[1:]))
        return pool

    def details(self, product: Product, rng: np.random.Generator) -> Sequence[tuple[str, Phrase]]:
        pairs = [
            ("Colour" if rng.random() < 0.5 else "Color", Phrase(product.shade.en, ("color",))),
            ("Material", Phrase(product.material, ("material",))),
            ("Brand", Phrase(product.brand)),
        ]
        if product.second:
            pairs.append(("Pattern", Phrase(product.pattern, ("pattern",))))
        for part in KINDS[product.kind].parts:
            if part.name in product.parts and rng.random() < 0.4:
                shown = product.parts[part.name]
                value = shown.shade.en if shown.shade else str(shown.count) if shown.count > 1 else "yes"
                pairs.append((part.name.capitalize(), Phrase(value, (f"part: {part.name}",))))
        return pairs

    def asides(self, product: Product, rng: np.random.Generator) -> Sequence[Phrase]:
        others = [shade.en for shade in ACCENTS if shade.base != product.shade.base]
        first, second = (str(each) for each in rng.choice(others, 2, replace=False))
        partner = pick(rng, PARTNERS)
        return (
            Phrase(f"Pairs well with {partner}.", (), (partner,)),
            Phrase(f"Also available in {first} and {second}.", (), (first, second)),
            Phrase(pick(rng, NOT_SEEN)),
        )


def _part(product: Product, part: Part, rng: np.random.Generator) -> str:
    """`two red front pockets`, `a zip`, `white laces`."""
    shown = product.parts[part.name]
    shade = shown.shade.en + " " if shown.shade else ""
    if shown.count > 1:
        number = NUMBERS[shown.count] + " " if rng.random() < 0.75 else ""
        return f"{number}{shade}{part.name}"
    if part.name.endswith("s") and part.counts == (1,):
        return shade + part.name
    return _a(shade + (part.name[:-1] if part.name.endswith("s") else part.name))


def _marks(product: Product) -> Phrase:
    """` with white stripes`, or nothing."""
    if product.second is None:
        return Phrase("")
    return Phrase(f" with {product.second.en} {MARKS[product.pattern]}", ("pattern", "second color"))


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _title(words: str) -> str:
    """Capitals as in a title."""
    return " ".join(word[:1].upper() + word[1:] for word in words.split(" "))
