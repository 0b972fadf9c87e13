"""English."""

from sightline.data.questions.language import Family, Language, Questions, Thing, groups, table

COLORS, COLORS_ALIKE = table(
    """
black: > charcoal navy gray brown
white: > ivory beige silver gray
red: > maroon burgundy rust coral pink orange crimson brown purple
blue: > navy teal turquoise indigo purple green gray
green: > olive teal turquoise mint khaki lime blue
yellow: > mustard gold golden ivory orange tan lime
brown: > tan beige khaki bronze copper rust maroon chocolate orange golden
orange: > peach coral rust tan copper
pink: > peach coral magenta salmon fuchsia purple
purple: violet > lavender magenta maroon burgundy lilac indigo fuchsia
gray: grey > silver charcoal
beige: > tan ivory khaki taupe yellow
tan: > beige khaki yellow golden
maroon: > burgundy
burgundy: wine
navy: > indigo gray purple
teal: > turquoise gray
turquoise: aqua
olive: > khaki brown gray yellow
khaki: > gray
ivory: off-white > pink
gold: golden > bronze copper orange tan
silver: > steel
charcoal: > navy
bronze: > copper
copper: > orange
mustard: > orange
lavender: > lilac pink blue gray
lilac: mauve > pink blue gray
magenta: fuchsia > red
peach: salmon > beige
coral:
rust:
mint: > blue
indigo:
taupe: > gray brown tan
rose: > pink red gold
multicolor: multi multicolour multicolored multicoloured multi-color colorful colourful rainbow assorted
"""
)
MATERIALS, MATERIALS_ALIKE = table(
    """
cotton: > denim canvas corduroy flannel linen polyester jersey terry
denim:
canvas: > linen polyester
linen: > flax
silk: > satin velvet
satin: > polyester
wool: woolen woollen > merino cashmere tweed felt knit fleece
cashmere:
merino:
fleece: > polyester
velvet: > polyester
polyester: > nylon
nylon:
leather: > suede
suede:
wood: wooden > oak pine walnut bamboo teak mahogany beech rattan acacia
oak: oaken
pine:
walnut:
bamboo: > rattan
teak:
mahogany:
beech:
acacia:
rattan: wicker
metal: metallic > steel aluminum brass copper iron bronze silver gold titanium
steel: > iron aluminum silver
aluminum: aluminium
brass: > bronze copper gold
iron: cast-iron
titanium: > steel silver
plastic: > acrylic polypropylene nylon silicone melamine polyester rubber vinyl
acrylic: > glass
silicone: > rubber
rubber: > leather
ceramic: ceramics > porcelain stoneware earthenware terracotta clay
porcelain: > stoneware glass
stoneware: > stone
terracotta: > clay
glass: > crystal
crystal:
marble: > stone
granite: > stone marble
stone:
concrete: > stone
jute: > linen
cork: > wood
paper: > cardboard
cardboard:
"""
)
PATTERNS, PATTERNS_ALIKE = table(
    """
striped: stripes stripe stripy pinstripe pinstriped
checked: checkered check checks chequered plaid tartan gingham
floral: flowered flowery
dotted: polka polka-dot
spotted: > dotted
paisley: > floral
camouflage: camo
houndstooth: > checked
herringbone: > striped
solid: plain
"""
)
NUMBERS = {word: n for n, word in enumerate("two three four five six seven eight nine ten".split(), 2)}


def _article(text: str) -> str:
    return ("an " if text[0] in "aeiou" else "a ") + text


def _shown(thing: Thing) -> str:
    if thing.many:
        return f"Are there {thing.plural}?"
    return f"Is there {thing.singular if thing.mass else _article(thing.singular)}?"


def _kind_of(thing: Thing) -> str:
    if thing.many:
        return f"Are these {thing.plural}?"
    return f"Is this {thing.singular if thing.mass else _article(thing.singular)}?"


def _is(thing: Thing) -> str:
    return "are" if thing.many else "is"


LANGUAGE = Language(
    name="English",
    model="morphmodel_en.pgz",
    cased=False,
    known_above=-17.0,
    known_share=0.65,
    tags=(
        ("NN", "noun"), ("NP", "name"), ("AJ", "adjective"), ("VVG", "participle"), ("VVN", "participle"),
        ("VVD", "participle"), ("V", "verb"), ("AT", "article"), ("DT", "article"), ("DPS", "article"),
        ("CRD", "article"), ("ORD", "adjective"), ("PR", "preposition"),
    ),
    articles=frozenset("a an the this that these those his her its their my your our some any each".split()),
    indefinite=frozenset(("a", "an")),
    numbers=NUMBERS,
    joining=frozenset("and & or plus + /".split()),
    of=frozenset(("of",)),
    containers=frozenset(
        """pack set pair piece lot box bundle group bunch crowd number couple herd flock kind type sort
        row stack pile variety range selection collection picture photo image photograph drawing""".split()
    ),
    trailing=frozenset(
        """set pack pair piece pcs size color colour style design collection edition fit look version series
        model finish shade tone print pattern sleeve length neck collar waist inch combo gift""".split()
    ),
    abstract=frozenset(
        """item product quality type kind way day time year warranty delivery return returns free range brand
        use fashion offer sale price value unit number line art life home world background front back side
        top bottom middle center centre end part corner distance air view scene photo picture image
        camera one thing something someone other shot place area edge direction face head hand arm leg
        foot eye hair mouth body finger left right kind action trick turn fun game event competition
        care choice feature function detail material fabric texture capacity weight height width""".split()
    ),
    audience=frozenset(
        """men man mens women woman womens ladies lady gents girls girl boys boy kids kid baby babies toddler
        infant children child unisex adult adults junior teen""".split()
    ),
    persons=frozenset("man woman person boy girl child".split()),
    units=frozenset(
        """ml l cl cm mm m inch inches in kg g gram grams oz lb lbs w v watt watts volt gb tb mb mah pcs pc
        piece pieces pack ply tier person persons seater cup cups litre litres liter liters qt ft""".split()
    ),
    vague=frozenset("other others another more several many group crowd pack herd few lots some".split()),
    families={
        "color": Family(
            COLORS, COLORS_ALIKE,
            frozenset("black white red blue green yellow brown orange pink purple gray".split()),
            frozenset("color colour colors colours".split()),
            frozenset("like not no non without".split()), frozenset(("in", "colour", "color")), {}, {},
            unasked=frozenset(("multicolor",)),
        ),
        "material": Family(
            MATERIALS, MATERIALS_ALIKE,
            frozenset(MATERIALS.values()) - {"crystal", "paper", "cardboard", "stone"},
            frozenset("material materials fabric".split()),
            frozenset(
                """faux fake imitation vegan artificial look effect free like synthetic not no non without
                polish cleaner care cleaning tone print finish blend mix mixed""".split()
            ),
            frozenset(("of", "from")), {}, {}, general=frozenset(("wood", "metal")),
        ),
        "pattern": Family(
            PATTERNS, PATTERNS_ALIKE, frozenset(PATTERNS.values()) - {"paisley", "solid"},
            frozenset(("pattern", "print")), frozenset("not no non without".split()), frozenset(), {}, {},
        ),
    },
    relatives=groups(
        """
shoe sneaker boot sandal loafer trainer heel slipper footwear flat pump moccasin clog stiletto
flip-flop sandal slipper flop
bag handbag backpack purse tote clutch satchel rucksack duffel pouch briefcase suitcase luggage wallet
shirt t-shirt tshirt tee top blouse tunic polo kurta jersey tank vest
jacket coat blazer parka cardigan hoodie sweater sweatshirt pullover jumper fleece anorak vest top
trouser trousers pants pant jeans jean chinos chino legging leggings jeggings short shorts jogger slacks
track tracksuit
dress gown frock tunic skirt kurta
suit blazer tuxedo
brief briefs boxer boxers trunk trunks underwear panty panties lingerie bra
sock socks stocking stockings tights
cap hat beanie helmet
scarf shawl stole dupatta
watch wristwatch smartwatch clock timepiece chronograph
glasses sunglasses eyewear spectacle spectacles sunglass goggle goggles
ring earring bracelet necklace pendant bangle jewelry jewellery chain locket stud anklet
perfume fragrance deodorant cologne
lipstick lip gloss
cup mug tumbler glass beaker goblet
bottle flask thermos jug pitcher carafe decanter
bowl plate dish platter tray saucer basin
pot pan skillet saucepan wok kettle casserole teapot planter
knife cutlery fork spoon
vase pot planter jar urn
jar canister container box tin
box case chest crate basket bin container trunk
sofa couch settee loveseat futon sectional
chair stool armchair recliner bench seat rocker
table desk nightstand stand console
shelf bookcase bookshelf rack cabinet shelving cupboard dresser wardrobe sideboard
bed mattress cot crib
lamp light lantern chandelier sconce bulb
rug carpet mat runner
curtain drape blind
cushion pillow bolster
blanket throw quilt comforter duvet bedspread coverlet
towel washcloth cloth napkin
clock watch alarm
mirror frame
poster print painting canvas picture artwork sign
book notebook journal diary planner
pen pencil marker
phone smartphone cellphone mobile
laptop notebook computer tablet
headphone headphones earphone earphones earbud earbuds headset
speaker soundbar
case cover sleeve
charger adapter cable
toy doll teddy plush puzzle
bicycle bike cycle
car vehicle truck van suv
dog puppy
cat kitten
person people man guy gentleman
person people woman lady
child kid boy
child kid girl
boy man
girl woman
"""
    ),
    questions=Questions(
        what="What is this?",
        shown=_shown,
        kind_of=_kind_of,
        number=lambda thing: f"How many {thing.plural} are there?",
        open={
            "color": lambda thing: f"What color {_is(thing)} the {thing.usual}?",
            "material": lambda thing: f"What {_is(thing)} the {thing.usual} made of?",
            "pattern": lambda thing: (
                f"What pattern {'do' if thing.many else 'does'} the {thing.usual} have?"
            ),
        },
        polar={
            "color": lambda thing, value: f"{_is(thing).capitalize()} the {thing.usual} {value}?",
            "material": lambda thing, value: f"{_is(thing).capitalize()} the {thing.usual} made of {value}?",
            "pattern": lambda thing, value: f"{_is(thing).capitalize()} the {thing.usual} {value}?",
        },
    ),
)  # fmt: skip
