"""German texts of the catalogue."""

from collections.abc import Sequence

import numpy as np

from sightline_lab.catalogue.products import Product, pick
from sightline_lab.catalogue.prose import Phrase
from sightline_lab.catalogue.vocabulary import (
    ACCENTS,
    AUDIENCES,
    CATEGORIES_DE,
    FIXED,
    KINDS,
    MATERIALS_DE,
    PATTERNS_DE,
    Part,
)

NUMBERS = ("kein", "ein", "zwei", "drei", "vier", "fünf", "sechs")
MARKS = {"striped": "Streifen", "dotted": "Punkte", "checked": "Karos"}
INDEFINITE = {"m": ("Ein", "er"), "f": ("Eine", "e"), "n": ("Ein", "es"), "p": ("", "e")}  # article, ending
DEFINITE = {"m": ("Der", "e"), "f": ("Die", "e"), "n": ("Das", "e"), "p": ("Die", "en")}
DEMONSTRATIVE = {"m": "Dieser", "f": "Diese", "n": "Dieses", "p": "Diese"}
ACCUSATIVE = {"m": "einen", "f": "eine", "n": "ein"}
ONE = {  # parts that a picture shows once
    "sole": ("Sohle", "f"), "zip": ("Reißverschluss", "m"), "buckles": ("Schnalle", "f"),
    "buckle": ("Schnalle", "f"), "heel": ("Absatz", "m"), "bow": ("Schleife", "f"),
    "ankle strap": ("Fesselriemen", "m"), "chest pocket": ("Brusttasche", "f"),
    "star print": ("Sternaufdruck", "m"), "collar": ("Kragen", "m"), "chest pockets": ("Brusttasche", "f"),
    "turtleneck": ("Rollkragen", "m"), "belt": ("Gürtel", "m"), "drawstring": ("Kordelzug", "m"),
    "hood": ("Kapuze", "f"), "dial": ("Zifferblatt", "n"), "handles": ("Henkel", "m"),
    "clasp": ("Verschluss", "m"), "tassel": ("Quaste", "f"), "front pockets": ("Vordertasche", "f"),
    "top bar": ("Doppelsteg", "m"), "handle": ("Griff", "m"), "lid": ("Deckel", "m"),
    "heart print": ("Herzaufdruck", "m"), "seat cushion": ("Sitzkissen", "n"),
    "lampshade": ("Lampenschirm", "m"), "pull cord": ("Zugschnur", "f"), "cap": ("Schraubverschluss", "m"),
    "label": ("Etikett", "n"), "carry loop": ("Trageschlaufe", "f"), "peak": ("Schirm", "m"),
    "star patch": ("Sternaufnäher", "m"), "ruffled edge": ("Rüschenrand", "m"), "piping": ("Paspel", "f"),
    "button": ("Knopf", "m"), "flowers": ("Blume", "f"), "spout": ("Tülle", "f"),
}  # fmt: skip
PARTNERS = ("blauen Jeans", "einem schwarzen Gürtel", "weißen Turnschuhen", "einer braunen Tasche",
            "einem grauen Schal", "einem roten Hut", "einem Holztisch")  # fmt: skip
NOT_SEEN = (
    "Rückgabe innerhalb von 30 Tagen.", "Lieferung im Geschenkkarton.", "Waschbar bei 30 Grad.",
    "Bitte beachten Sie die Größentabelle.", "Nur noch wenige auf Lager!",
)  # fmt: skip
USES = {
    "Shoes": ("Bequem den ganzen Tag.", "Für lange Wege gemacht.", "Sitzt gut und drückt nicht."),
    "Clothing": ("Angenehm auf der Haut.", "Fällt normal aus.", "Für Büro und Urlaub."),
    "Accessories": ("Ein schönes Geschenk.", "Leicht und robust."),
    "Bags": ("Platz für alles, was man braucht.", "Begleitet durch den Alltag."),
    "Kitchen": ("Spülmaschinenfest.", "Für Frühstück und Büro.", "Leicht zu reinigen."),
    "Furniture": ("Einfach aufzubauen.", "Zeitlose Form.", "Passt in jeden Raum."),
    "Home textiles": ("Weich und warm.", "Füllung enthalten."),
    "Home decoration": ("Ein Blickfang.", "Von Hand gefertigt."),
}


class German:
    """See prose.Language."""

    def nouns(self, product: Product) -> Sequence[str]:
        return [noun for noun, _ in KINDS[product.kind].de]

    def titles(self, product: Product, noun: str) -> Sequence[Phrase]:
        shade, brand, model = product.shade.de, product.brand, product.model
        color, material = _capital(shade), MATERIALS_DE[product.material]
        whole = f"{AUDIENCES[product.audience][1]}-{noun}" if product.audience else noun
        style = f", {PATTERNS_DE[product.pattern]}" if product.second else ""
        pattern = ("pattern",) if style else ()
        named = ("kind", "color")
        return (
            Phrase(f"{whole} in {color}{style}", (*named, *pattern)),
            Phrase(f"{whole}, {shade}{style}", (*named, *pattern)),
            Phrase(f"{brand} {whole} {model}, {shade}", named),
            Phrase(f"{whole} aus {material}, {shade}", (*named, "material")),
            Phrase(f"{brand} „{model}“ {noun} – {color}", named),
            Phrase(f"{brand} & Söhne {whole} ({shade}{style})", (*named, *pattern)),
            Phrase(f"{brand} {model} {noun}", ("kind",)),
        )

    def sentences(self, product: Product, noun: str, rng: np.random.Generator) -> Sequence[Phrase]:
        gender = dict(KINDS[product.kind].de)[noun]
        shade, material = product.shade.de, MATERIALS_DE[product.material]
        article, ending = INDEFINITE[gender]
        style = f"{PATTERNS_DE[product.pattern]}{ending} " if product.second else ""
        pattern = ("pattern",) if style else ()
        colored = shade if shade in FIXED else shade + ending
        one = _capital(f"{article} {style}{colored} {noun}".strip())
        the, weak = DEFINITE[gender]
        weakly = shade if shade in FIXED else shade + weak
        this, verb = DEMONSTRATIVE[gender], "sind" if gender == "p" else "ist"
        has = "haben" if gender == "p" else "hat"
        pool = [
            Phrase(f"{one} aus {material}.", ("kind", "color", "material", *pattern)),
            Phrase(f"{this} {noun} {verb} {shade}.", ("kind", "color")),
            Phrase(f"{the} {weakly} {noun} {verb} aus {material} gefertigt.", ("kind", "color", "material")),
            Phrase(f"{noun} in klassischem {_capital(shade)}.", ("kind", "color")),
            Phrase(pick(rng, USES[KINDS[product.kind].category])),
        ]  # fmt: skip
        if product.second:
            marks = f"{MARKS[product.pattern]} in {_capital(product.second.de)}"
            pool.append(Phrase(f"{this} {noun} {has} {marks}.", ("kind", "pattern", "second color")))
        shown = [part for part in KINDS[product.kind].parts if part.name in product.parts]
        rng.shuffle(shown)
        if shown:
            told = shown[: int(rng.integers(1, 4))]
            listed = _listed([_part(product, part) for part in told])
            claims = ("kind", *(f"part: {part.name}" for part in told))
            pool.append(Phrase(f"{this} {noun} {has} {listed}.", claims))
        return pool

    def details(self, product: Product, rng: np.random.Generator) -> Sequence[tuple[str, Phrase]]:
        pairs = [
            ("Farbe", Phrase(product.shade.de, ("color",))),
            ("Material", Phrase(MATERIALS_DE[product.material], ("material",))),
            ("Marke", Phrase(product.brand)),
            ("Abteilung", Phrase(CATEGORIES_DE[KINDS[product.kind].category])),
        ]
        if product.second:
            pairs.append(("Muster", Phrase(PATTERNS_DE[product.pattern], ("pattern",))))
        for part in KINDS[product.kind].parts:
            if part.name in product.parts and rng.random() < 0.4:
                shown = product.parts[part.name]
                value = shown.shade.de if shown.shade else str(shown.count) if shown.count > 1 else "ja"
                pairs.append((part.de, Phrase(value, (f"part: {part.name}",))))
        return pairs

    def asides(self, product: Product, rng: np.random.Generator) -> Sequence[Phrase]:
        others = [shade.de for shade in ACCENTS if shade.base != product.shade.base]
        first, second = (str(each) for each in rng.choice(others, 2, replace=False))
        partner = pick(rng, PARTNERS)
        return (
            Phrase(f"Passt gut zu {partner}.", (), (partner,)),
            Phrase(f"Auch in {_capital(first)} und {_capital(second)} erhältlich.", (), (first, second)),
            Phrase(pick(rng, NOT_SEEN)),
        )


def _part(product: Product, part: Part) -> str:
    """`zwei Vordertaschen in Rot`, `einen Reißverschluss`, `Schnürsenkel in Weiß`."""
    shown = product.parts[part.name]
    shade = f" in {_capital(shown.shade.de)}" if shown.shade else ""
    if shown.count > 1:
        return f"{NUMBERS[shown.count]} {part.de}{shade}"
    if part.name not in ONE:  # a plural that nobody counts
        return part.de + shade
    noun, gender = ONE[part.name]
    return f"{ACCUSATIVE[gender]} {noun}{shade}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} und {parts[-1]}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
