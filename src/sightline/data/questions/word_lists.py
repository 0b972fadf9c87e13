"""Closed word lists behind the caption rules: colours, numbers, adjectives, prepositions, verbs."""

COLORS = {
    word: word
    for word in """black white red blue green yellow brown orange pink purple gray tan beige silver golden
    gold""".split()
} | {"grey": "gray"}
SIMILAR_COLORS = (
    frozenset(("tan", "brown", "beige", "golden", "gold", "yellow", "orange")),
    frozenset(("gray", "silver", "white", "black", "beige")),
    frozenset(("red", "pink", "orange", "purple", "brown")),
    frozenset(("blue", "purple", "green")),
)
NUMBERS = {
    word: digit
    for digit, word in enumerate("one two three four five six seven eight nine ten".split(), start=1)
}
DETERMINERS = frozenset("a an the his her its their this that another one some".split())
ADJECTIVES = frozenset(
    """small large big little young old older younger elderly tall short long furry fluffy shaggy hairy
    curly wet muddy dirty snowy grassy sandy rocky wooden metal plastic striped plaid checkered spotted
    bright dark light huge giant tiny deep shallow empty open busy crowded colorful inflatable rubber
    leather fuzzy skinny fat smiling happy cute beautiful pretty male female asian african american
    hairless shirtless barefoot blond blonde bald bearded tiny dry round steep high low stone brick
    concrete dirt paved frozen icy playful athletic lone single medium-sized outdoor indoor modern
    decorated adult teenage middle-aged sleeping red-haired similar identical other toy""".split()
)
PREPOSITIONS = {
    ("on",): "on", ("onto",): "on", ("atop",): "on", ("on", "top", "of"): "on",
    ("in",): "in", ("inside",): "in", ("under",): "under", ("underneath",): "under", ("beneath",): "under",
    ("behind",): "behind", ("next", "to"): "next to", ("beside",): "next to", ("alongside",): "next to",
    ("in", "front", "of"): "in front of", ("near",): "near", ("over",): "over",
}  # fmt: skip
# What may follow a noun phrase: anything else may be the head of a longer compound ("dog house").
FOLLOWERS = frozenset(
    """. , ; : ! ? ) " 's and or but while as who that which with without in on at by of to for from near
    behind under over into onto through across around along down up off out against beside between above
    below inside outside toward towards past next is are was were has have having be being can wearing
    dressed covered surrounded held up after before during among amongst alongside atop beneath
    underneath together there it its his her their they he she the a an this both all just also another
    about like doing seated gathered caught crouched engaged looks look""".split()
)
ING_NOUNS = frozenset(
    """building clothing railing ring swing string something during wedding being morning evening ceiling
    painting setting covering parking bathing crossing training matching opposing living landing bowling
    shopping everything nothing anything opening lighting king wing spring sling boxing fishing
    racing""".split()
)
DOUBLED = frozenset("run swim sit dig jog hug hit pet".split())
# Complete by themselves: an answer to "What is the dog doing?"
ACTIONS = """run jump walk swim sit stand play climb lie leap dance sleep smile laugh race fight wrestle ski
    surf skateboard snowboard kayak hike bike dive slide wade skate eat drink read sing crawl kneel pose fly
    float splash bark dig jog swing talk sled paddle row rollerblade bounce shake sprint wait rest
    gallop wave cry yawn skydive sunbathe cook paint roll kiss hug juggle""".split()
# Need what they act on: a question asks for it.
TRANSITIVE_VERBS = """ride hold carry throw catch kick chase push pull hit read eat drive climb chew bite
    fetch retrieve watch hug pet feed paint""".split()
# What may stand between a noun and the preposition that says where it is.
LOCATION_VERBS = """sit stand lie run walk jump play sleep swim ride climb rest float kneel wade leap
    skateboard surf slide""".split()
# Where something can be, with the preposition that says so.
LOCATIONS = frozenset(
    """snow beach water grass field park street road sidewalk pool lake ocean river mountain hill rock sand
    forest woods yard backyard stage track court bench couch bed sofa chair trampoline boat fountain
    creek pond stream puddle mud dirt garden kitchen room city desert lawn playground swing ramp stairs
    steps wall bus train tent path trail bridge dock crib bathtub tub ice floor carpet ground parking
    cave stadium restaurant bar store market sea meadow slide roof porch deck driveway alley""".split()
)


def ing(verb: str) -> str:
    """The -ing form: run -> running, ride -> riding, lie -> lying."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + (verb[-1] if verb in DOUBLED else "") + "ing"


def third_person(verb: str) -> str:
    """The form after he, she or it: run -> runs, catch -> catches, carry -> carries."""
    if verb.endswith(("s", "sh", "ch", "x")):
        return verb + "es"
    return verb[:-1] + "ies" if verb.endswith("y") and verb[-2] not in "aeiou" else verb + "s"


def forms(verbs: list[str]) -> dict[str, str]:
    """Surface form -> -ing form, for the -ing and the third-person forms."""
    return {ing(verb): ing(verb) for verb in verbs} | {third_person(verb): ing(verb) for verb in verbs}


ACTION_FORMS = forms(ACTIONS) | {"laying": "lying", "lays": "lying"}
TRANSITIVE_FORMS = forms(TRANSITIVE_VERBS)
LOCATION_FORMS = frozenset(forms(LOCATION_VERBS)) | {"laying", "lays"}
VERB_FORMS = frozenset(ACTION_FORMS) | frozenset(TRANSITIVE_FORMS) | frozenset(
    """takes tries does makes gets swings performs goes poses wears leans hangs attempts puts rolls follows
    blows prepares enjoys helps points reaches uses lifts bends touches licks sniffs barks stares
    emerges bounds retrieves balances shows gives leads lands comes moves raises looks watches""".split()
)  # fmt: skip
# After a plural noun ("two dogs play").
BASE_VERBS = frozenset(ACTIONS + TRANSITIVE_VERBS) | frozenset(
    "take try do make get perform go wear lean hang put follow enjoy help look gather compete share".split()
)
