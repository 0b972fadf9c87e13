"""German. Questions name the thing behind a colon, so that they need neither its gender nor its case."""

from sightline.data.questions.language import Family, Language, Questions, groups, table

COLORS, COLORS_ALIKE = table(
    """
schwarz: > anthrazit grau braun
weiß: weiss > creme beige silber grau elfenbein
rot: > bordeaux rosa orange braun lila
blau: > türkis petrol lila grün grau
grün: > oliv türkis petrol khaki mint blau
gelb: > gold senf creme orange
braun: > beige khaki bronze kupfer orange cognac
orange: > koralle kupfer
rosa: pink > koralle lila flieder
lila: violett > flieder bordeaux
grau: > silber anthrazit
beige: > creme khaki gelb sand
türkis: > petrol
petrol: > grau
oliv: olivgrün > khaki braun grau
khaki: > grau
creme: cremeweiß elfenbein
gold: golden > bronze kupfer orange
silber: silbern
anthrazit: > blau
bordeaux: weinrot
bronze: > kupfer
kupfer:
mint:
flieder:
senf:
koralle:
cognac:
sand:
bunt: mehrfarbig gemischt
"""
)
MATERIALS, MATERIALS_ALIKE = table(
    """
baumwolle: > denim leinen jersey flanell polyester wolle
denim:
leinen: > canvas
canvas:
seide: > satin samt
satin: > polyester
wolle: > merino kaschmir filz fleece
kaschmir:
merino:
filz:
fleece: > polyester
samt: > polyester
polyester: > nylon
nylon:
leder: > wildleder
wildleder:
holz: hölzern > eiche kiefer nussbaum bambus buche akazie rattan teak
eiche: eichenholz
kiefer: kiefernholz
nussbaum:
bambus: > rattan
buche: buchenholz
akazie: akazienholz
teak:
rattan:
metall: > stahl edelstahl aluminium messing kupfer eisen
edelstahl: > stahl aluminium silber
stahl: > eisen
aluminium:
messing: > bronze kupfer gold
eisen: gusseisen
kunststoff: plastik > acryl silikon melamin gummi
acryl: > glas
silikon: > gummi
gummi:
keramik: > porzellan steingut ton steinzeug
porzellan: > steingut glas steinzeug
steinzeug: > steingut
glas: > kristall
marmor: > stein
beton: > stein
jute:
kork: > holz
"""
)
PATTERNS, PATTERNS_ALIKE = table(
    """
gestreift: streifen
kariert: karo karos
geblümt: blumenmuster floral blumen
gepunktet: punkte
einfarbig: uni
"""
)
NUMBERS = {word: n for n, word in enumerate("zwei drei vier fünf sechs sieben acht neun zehn".split(), 2)}
STARTS = {
    "baumwoll": "baumwolle", "leinen": "leinen", "seiden": "seide", "woll": "wolle", "leder": "leder",
    "holz": "holz", "eichen": "eiche", "bambus": "bambus", "edelstahl": "edelstahl", "stahl": "stahl",
    "kunststoff": "kunststoff", "plastik": "kunststoff", "keramik": "keramik", "porzellan": "porzellan",
    "glas": "glas", "kork": "kork", "jeans": "denim", "samt": "samt", "marmor": "marmor",
}  # fmt: skip
ENDS = {color: color for color in "schwarz weiß rot blau grün gelb braun rosa grau beige lila orange".split()}

LANGUAGE = Language(
    name="German",
    model="morphmodel_ger.pgz",
    cased=True,
    known_above=-25.0,
    known_share=0.7,
    tags=(
        ("NNA", "adjective"), ("NN", "noun"), ("NE", "name"), ("ADJ", "adjective"), ("VV(PP)", "participle"),
        ("VVPP", "participle"), ("V", "verb"), ("ART", "article"), ("PPOS", "article"), ("PD", "article"),
        ("CARD", "article"), ("APP", "preposition"),
    ),
    articles=frozenset(
        """der die das den dem des ein eine einen einem einer eines dieser diese dieses diesem diesen sein
        seine ihr ihre mein meine""".split()
    ),
    indefinite=frozenset("ein eine einen einem einer eines".split()),
    numbers=NUMBERS,
    joining=frozenset("und & oder plus + / sowie".split()),
    of=frozenset(("von",)),
    containers=frozenset(
        "set paar packung stück satz gruppe menge haufen reihe bild foto pack bündel sammlung art".split()
    ),
    trailing=frozenset(
        """set paar packung stück größe farbe stil design kollektion modell muster motiv länge ärmel kragen
        optik look serie form geschenk""".split()
    ),
    abstract=frozenset(
        """artikel produkt qualität marke art jahr tag zeit garantie versand rückgabe material stoff maße
        liter vordergrund hintergrund seite mitte luft bild foto kamera ende teil rand gesicht kopf hand
        arm bein fuß auge haar mund finger breite höhe gewicht""".split()
    ),
    audience=frozenset(
        """damen dame herren herr kinder kind mädchen jungen junge baby babys frauen frau männer mann unisex
        erwachsene""".split()
    ),
    persons=frozenset("mann frau person kind".split()),
    units=frozenset("ml l cl cm mm m kg g w v watt volt gb tb mah stk stück teilig er".split()),
    vague=frozenset("andere anderen anderer weitere mehrere viele gruppe menge einige".split()),
    families={
        "color": Family(
            COLORS, COLORS_ALIKE,
            frozenset("schwarz weiß rot blau grün gelb braun orange rosa lila grau".split()),
            frozenset(("farbe", "farben")), frozenset("nicht kein keine ohne".split()), frozenset(("in",)),
            {}, ENDS, unasked=frozenset(("bunt",)),
        ),
        "material": Family(
            MATERIALS, MATERIALS_ALIKE, frozenset(MATERIALS.values()),
            frozenset(("material", "stoff", "obermaterial")),
            frozenset("kunstleder optik imitat pflege reiniger nicht kein keine ohne mix".split()),
            frozenset(("aus",)), STARTS, {}, general=frozenset(("holz", "metall")),
        ),
        "pattern": Family(
            PATTERNS, PATTERNS_ALIKE, frozenset(PATTERNS.values()) - {"einfarbig"},
            frozenset(("muster",)), frozenset("nicht kein keine ohne".split()), frozenset(), {}, {},
        ),
    },
    relatives=groups(
        """
schuh stiefel sandale turnschuh sneaker pumps stiefelette halbschuh laufschuh hausschuh slipper
tasche handtasche rucksack beutel koffer geldbörse portemonnaie brieftasche shopper clutch
hemd shirt t-shirt bluse oberteil top polo polohemd tunika trikot
jacke mantel blazer weste pullover pulli strickjacke sweatshirt hoodie anorak parka
hose jeans shorts leggings chino jogginghose
kleid rock tunika
mütze hut kappe cap helm
schal tuch halstuch
uhr armbanduhr wanduhr smartwatch wecker
brille sonnenbrille
ring ohrring armband kette halskette anhänger schmuck
tasse becher glas krug kelch
flasche kanne karaffe krug thermosflasche trinkflasche
schüssel schale teller platte tablett
topf pfanne kessel bräter kochtopf blumentopf übertopf
vase topf krug
dose box kiste schachtel korb behälter truhe kasten
sofa couch liege
stuhl hocker sessel bank
tisch schreibtisch beistelltisch konsole couchtisch esstisch
regal schrank kommode vitrine sideboard
lampe leuchte laterne licht strahler
teppich matte läufer
vorhang gardine rollo
kissen polster
decke tagesdecke bettdecke plaid
handtuch tuch
bild poster druck gemälde
buch heft notizbuch tagebuch kalender
handy smartphone telefon
laptop notebook computer tablet
kopfhörer ohrhörer
hülle tasche etui case
fahrrad rad
auto wagen fahrzeug lkw
hund welpe
mann frau person mensch junge mädchen kind leute spieler
"""
    ),
    questions=Questions(
        what="Was ist das?",
        shown=lambda thing: f"Ist so etwas zu sehen: {thing.usual}?",
        kind_of=lambda thing: f"Handelt es sich um Folgendes: {thing.usual}?",
        number=lambda thing: f"Wie viele sind zu sehen: {thing.plural}?",
        open={
            "color": lambda thing: f"Welche Farbe hat Folgendes: {thing.usual}?",
            "material": lambda thing: f"Aus welchem Material ist Folgendes: {thing.usual}?",
            "pattern": lambda thing: f"Welches Muster hat Folgendes: {thing.usual}?",
        },
        polar={
            "color": lambda thing, value: f"Hat Folgendes die Farbe {value}: {thing.usual}?",
            "material": lambda thing, value: f"Ist Folgendes aus {value.capitalize()}: {thing.usual}?",
            "pattern": lambda thing, value: f"Ist Folgendes {value}: {thing.usual}?",
        },
    ),
)  # fmt: skip
