"""What the catalogue sells: kinds of products, their parts, shades and materials, in English and German.

A German noun stands with its gender: m, f, n, or p for a plural.
"""

from dataclasses import dataclass

Noun = tuple[str, str]
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Shade:
    """A colour as a shop names it. `base` is the plain colour word that a question would use."""

    base: str
    en: str
    de: str  # an adjective; those of FIXED take no ending
    rgb: RGB


@dataclass(frozen=True)
class Part:
    """Something that a picture of this kind shows in `chance` of cases."""

    name: str  # plural where more than one is counted
    de: str
    chance: float
    counts: tuple[int, ...] = (1,)
    colored: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of product."""

    category: str
    en: tuple[str, ...]
    de: tuple[Noun, ...]
    materials: tuple[str, ...]
    patterned: float  # share that is not plain
    parts: tuple[Part, ...]
    worn: bool = False  # by women, men or children
    plural: bool = False  # "these trousers"


SHADES = (
    Shade("black", "black", "schwarz", (38, 38, 42)),
    Shade("grey", "charcoal grey", "anthrazitgrau", (82, 84, 90)),
    Shade("grey", "grey", "grau", (142, 144, 148)),
    Shade("grey", "light grey", "hellgrau", (192, 194, 197)),
    Shade("white", "white", "weiß", (244, 244, 242)),
    Shade("white", "cream white", "cremeweiß", (242, 236, 220)),
    Shade("red", "red", "rot", (206, 36, 42)),
    Shade("red", "burgundy red", "weinrot", (122, 24, 44)),
    Shade("red", "coral red", "korallenrot", (236, 92, 80)),
    Shade("orange", "orange", "orange", (242, 128, 28)),
    Shade("yellow", "yellow", "gelb", (248, 208, 44)),
    Shade("yellow", "mustard yellow", "senfgelb", (206, 160, 40)),
    Shade("green", "green", "grün", (44, 146, 70)),
    Shade("green", "olive green", "olivgrün", (106, 112, 56)),
    Shade("green", "mint green", "mintgrün", (152, 214, 180)),
    Shade("green", "bottle green", "flaschengrün", (22, 80, 56)),
    Shade("turquoise", "turquoise", "türkis", (44, 178, 180)),
    Shade("blue", "blue", "blau", (40, 92, 196)),
    Shade("blue", "navy blue", "marineblau", (30, 42, 86)),
    Shade("blue", "sky blue", "himmelblau", (132, 184, 232)),
    Shade("purple", "purple", "violett", (116, 60, 160)),
    Shade("purple", "lilac", "lila", (186, 156, 214)),
    Shade("pink", "pink", "rosa", (240, 142, 180)),
    Shade("pink", "hot pink", "pink", (226, 48, 132)),
    Shade("brown", "brown", "braun", (112, 70, 42)),
    Shade("brown", "cognac brown", "cognacbraun", (162, 94, 48)),
    Shade("brown", "chocolate brown", "schokobraun", (74, 46, 34)),
    Shade("beige", "beige", "beige", (216, 194, 160)),
    Shade("beige", "sand beige", "sandbeige", (198, 172, 130)),
)
FIXED = {"orange", "türkis", "lila", "rosa", "pink", "beige", "sandbeige"}
ACCENTS = tuple(shade for shade in SHADES if shade.en in {
    "black", "white", "grey", "red", "yellow", "blue", "green", "brown", "pink", "orange"
})  # fmt: skip
BASE_DE = {
    "black": "schwarz", "grey": "grau", "white": "weiß", "red": "rot", "orange": "orange", "yellow": "gelb",
    "green": "grün", "turquoise": "türkis", "blue": "blau", "purple": "violett", "pink": "rosa",
    "brown": "braun", "beige": "beige",
}  # fmt: skip

MATERIALS_DE = {
    "leather": "Leder", "suede": "Wildleder", "canvas": "Segeltuch", "mesh": "Mesh", "cotton": "Baumwolle",
    "linen": "Leinen", "wool": "Wolle", "silk": "Seide", "denim": "Denim", "polyester": "Polyester",
    "nylon": "Nylon", "steel": "Edelstahl", "plastic": "Kunststoff", "ceramic": "Keramik", "glass": "Glas",
    "wood": "Holz", "metal": "Metall", "velvet": "Samt", "rubber": "Gummi", "straw": "Stroh",
}  # fmt: skip
PATTERNS = ("striped", "dotted", "checked")
PATTERNS_DE = {"striped": "gestreift", "dotted": "gepunktet", "checked": "kariert"}


def _part(name: str, de: str, chance: float = 1.0, counts: tuple[int, ...] = (1,), colored: bool = False):
    return Part(name, de, chance, counts, colored)


KINDS = {
    "sneaker": Kind(
        "Shoes", ("sneaker", "trainer", "running shoe"),
        (("Sneaker", "m"), ("Turnschuh", "m"), ("Laufschuh", "m")),
        ("leather", "mesh", "canvas", "suede"), 0.1,
        (_part("sole", "Sohle", colored=True), _part("laces", "Schnürsenkel", 0.65, colored=True),
         _part("side stripes", "Seitenstreifen", 0.5, (2, 3, 4), True)),
        worn=True,
    ),
    "boot": Kind(
        "Shoes", ("boot", "ankle boot", "winter boot"),
        (("Stiefel", "m"), ("Boot", "m"), ("Winterstiefel", "m")),
        ("leather", "suede", "rubber"), 0.05,
        (_part("sole", "Sohle", colored=True), _part("laces", "Schnürsenkel", 0.4, colored=True),
         _part("zip", "Reißverschluss", 0.35), _part("buckles", "Schnallen", 0.35, (1, 2, 3))),
        worn=True,
    ),
    "sandal": Kind(
        "Shoes", ("sandal", "strappy sandal", "summer sandal"), (("Sandale", "f"), ("Sommersandale", "f")),
        ("leather", "suede", "rubber"), 0.05,
        (_part("sole", "Sohle", colored=True), _part("straps", "Riemen", counts=(2, 3, 4)),
         _part("buckle", "Schnalle", 0.5)),
        worn=True,
    ),
    "pump": Kind(
        "Shoes", ("pump", "high heel", "court shoe"), (("Pumps", "m"), ("Stöckelschuh", "m")),
        ("leather", "suede", "velvet"), 0.1,
        (_part("heel", "Absatz"), _part("bow", "Schleife", 0.35, colored=True),
         _part("ankle strap", "Fesselriemen", 0.4)),
        worn=True,
    ),
    "t-shirt": Kind(
        "Clothing", ("t-shirt", "tee", "crew-neck t-shirt"), (("T-Shirt", "n"), ("Rundhalsshirt", "n")),
        ("cotton", "linen", "polyester"), 0.35,
        (_part("chest pocket", "Brusttasche", 0.35, colored=True),
         _part("star print", "Sternaufdruck", 0.25, colored=True)),
        worn=True,
    ),
    "shirt": Kind(
        "Clothing", ("shirt", "button-up shirt", "dress shirt"),
        (("Hemd", "n"), ("Freizeithemd", "n"), ("Oberhemd", "n")),
        ("cotton", "linen", "silk", "denim"), 0.5,
        (_part("collar", "Kragen"), _part("buttons", "Knöpfe", counts=(4, 5, 6), colored=True),
         _part("chest pockets", "Brusttaschen", 0.6, (1, 2))),
        worn=True,
    ),
    "sweater": Kind(
        "Clothing", ("sweater", "jumper", "pullover"), (("Pullover", "m"), ("Strickpullover", "m")),
        ("wool", "cotton"), 0.4,
        (_part("turtleneck", "Rollkragen", 0.35), _part("zip", "Reißverschluss", 0.2),
         _part("elbow patches", "Ellbogenflicken", 0.2, (2,), True)),
        worn=True,
    ),
    "dress": Kind(
        "Clothing", ("dress", "summer dress", "midi dress"), (("Kleid", "n"), ("Sommerkleid", "n")),
        ("cotton", "linen", "silk", "polyester"), 0.5,
        (_part("belt", "Gürtel", 0.5, colored=True), _part("buttons", "Knöpfe", 0.3, (3, 4, 5), True),
         _part("sleeves", "Ärmel", 0.6, (2,))),
    ),
    "skirt": Kind(
        "Clothing", ("skirt", "pleated skirt", "midi skirt"), (("Rock", "m"), ("Faltenrock", "m")),
        ("cotton", "denim", "wool", "silk"), 0.45,
        (_part("belt", "Gürtel", 0.4, colored=True), _part("buttons", "Knöpfe", 0.35, (3, 4, 5), True)),
    ),
    "trousers": Kind(
        "Clothing", ("trousers", "pants", "chinos"), (("Hose", "f"), ("Stoffhose", "f"), ("Chinohose", "f")),
        ("cotton", "denim", "wool", "linen"), 0.2,
        (_part("belt", "Gürtel", 0.5, colored=True), _part("pockets", "Taschen", 0.6, (2,)),
         _part("turn-ups", "Umschläge", 0.3, (2,))),
        worn=True, plural=True,
    ),
    "shorts": Kind(
        "Clothing", ("shorts", "bermuda shorts"), (("Shorts", "p"), ("Bermudashorts", "p")),
        ("cotton", "denim", "linen", "polyester"), 0.3,
        (_part("drawstring", "Kordelzug", 0.5, colored=True), _part("pockets", "Taschen", 0.6, (2,))),
        worn=True, plural=True,
    ),
    "jacket": Kind(
        "Clothing", ("jacket", "windbreaker", "field jacket"),
        (("Jacke", "f"), ("Windjacke", "f"), ("Übergangsjacke", "f")),
        ("leather", "denim", "nylon", "wool"), 0.1,
        (_part("zip", "Reißverschluss", 0.65, colored=True), _part("hood", "Kapuze", 0.45),
         _part("pockets", "Taschen", 0.75, (2, 4))),
        worn=True,
    ),
    "watch": Kind(
        "Accessories", ("watch", "wristwatch", "analogue watch"),
        (("Uhr", "f"), ("Armbanduhr", "f")), ("leather", "steel", "rubber", "nylon"), 0.08,
        (_part("dial", "Zifferblatt", colored=True), _part("hands", "Zeiger", counts=(2, 3)),
         _part("subdials", "Hilfszifferblätter", 0.35, (2, 3))),
        worn=True,
    ),
    "handbag": Kind(
        "Bags", ("handbag", "purse", "tote bag"), (("Handtasche", "f"), ("Henkeltasche", "f")),
        ("leather", "suede", "canvas", "straw"), 0.25,
        (_part("handles", "Henkel", counts=(1, 2)), _part("clasp", "Verschluss", 0.5),
         _part("tassel", "Quaste", 0.3, colored=True)),
    ),
    "backpack": Kind(
        "Bags", ("backpack", "rucksack", "daypack"), (("Rucksack", "m"), ("Tagesrucksack", "m")),
        ("nylon", "canvas", "leather", "polyester"), 0.25,
        (_part("front pockets", "Vordertaschen", counts=(1, 2, 3), colored=True),
         _part("zip", "Reißverschluss", 0.6), _part("side straps", "Seitenriemen", 0.4, (2,), True)),
    ),
    "sunglasses": Kind(
        "Accessories", ("sunglasses", "shades"), (("Sonnenbrille", "f"),),
        ("plastic", "metal", "wood"), 0.08,
        (_part("lenses", "Gläser", counts=(2,), colored=True),
         _part("top bar", "Doppelsteg", 0.25)),
        worn=True, plural=True,
    ),
    "mug": Kind(
        "Kitchen", ("mug", "coffee mug", "cup"), (("Becher", "m"), ("Kaffeebecher", "m"), ("Tasse", "f")),
        ("ceramic", "metal", "glass"), 0.35,
        (_part("handle", "Henkel"), _part("lid", "Deckel", 0.2, colored=True),
         _part("heart print", "Herzaufdruck", 0.25, colored=True)),
    ),
    "chair": Kind(
        "Furniture", ("chair", "dining chair", "side chair"), (("Stuhl", "m"), ("Esszimmerstuhl", "m")),
        ("wood", "metal", "plastic"), 0.0,
        (_part("legs", "Beine", counts=(4,)), _part("armrests", "Armlehnen", 0.4, (2,)),
         _part("seat cushion", "Sitzkissen", 0.45, colored=True),
         _part("slats", "Streben", 0.6, (3, 4, 5))),
    ),
    "lamp": Kind(
        "Furniture", ("lamp", "table lamp", "bedside lamp"), (("Lampe", "f"), ("Tischlampe", "f")),
        ("metal", "wood", "ceramic", "glass"), 0.2,
        (_part("lampshade", "Lampenschirm", colored=True), _part("pull cord", "Zugschnur", 0.3)),
    ),
    "bottle": Kind(
        "Kitchen", ("water bottle", "flask", "drinking bottle"), (("Trinkflasche", "f"),
        ("Wasserflasche", "f")),
        ("steel", "glass", "plastic"), 0.2,
        (_part("cap", "Schraubverschluss", colored=True), _part("label", "Etikett", 0.4, colored=True),
         _part("carry loop", "Trageschlaufe", 0.35)),
    ),
    "cap": Kind(
        "Accessories", ("baseball cap", "cap"), (("Baseballkappe", "f"), ("Schirmmütze", "f")),
        ("cotton", "denim", "wool", "polyester"), 0.3,
        (_part("peak", "Schirm", colored=True), _part("star patch", "Sternaufnäher", 0.35, colored=True)),
        worn=True,
    ),
    "umbrella": Kind(
        "Accessories", ("umbrella", "rain umbrella"), (("Regenschirm", "m"), ("Schirm", "m")),
        ("polyester", "nylon"), 0.45,
        (_part("handle", "Griff", colored=True), _part("ruffled edge", "Rüschenrand", 0.3, colored=True)),
    ),
    "cushion": Kind(
        "Home textiles", ("cushion", "throw pillow", "decorative pillow"),
        (("Kissen", "n"), ("Zierkissen", "n"), ("Sofakissen", "n")),
        ("cotton", "velvet", "linen", "wool"), 0.6,
        (_part("piping", "Paspel", 0.4, colored=True), _part("tassels", "Quasten", 0.35, (4,), True),
         _part("button", "Knopf", 0.3, colored=True)),
    ),
    "vase": Kind(
        "Home decoration", ("vase", "flower vase"), (("Vase", "f"), ("Blumenvase", "f")),
        ("ceramic", "glass", "metal"), 0.35,
        (_part("handles", "Griffe", 0.3, (2,)), _part("flowers", "Blumen", 0.35, (1, 3, 5), True)),
    ),
    "teapot": Kind(
        "Kitchen", ("teapot", "tea pot"), (("Teekanne", "f"), ("Kanne", "f")),
        ("ceramic", "metal", "glass"), 0.35,
        (_part("spout", "Tülle"), _part("handle", "Henkel"), _part("lid", "Deckel", colored=True)),
    ),
}  # fmt: skip
CATEGORIES_DE = {
    "Shoes": "Schuhe", "Clothing": "Bekleidung", "Accessories": "Accessoires", "Bags": "Taschen",
    "Kitchen": "Küche", "Furniture": "Möbel", "Home textiles": "Heimtextilien",
    "Home decoration": "Wohndeko",
}  # fmt: skip
AUDIENCES = {"women": ("Women's", "Damen"), "men": ("Men's", "Herren"), "kids": ("Kids'", "Kinder")}
