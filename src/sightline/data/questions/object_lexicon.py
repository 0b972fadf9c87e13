"""The object classes that questions about photos may name: canonical name, surface forms, relatives.

A row is: name | class | parents | other forms | hints. A form is a singular, its plural made by rule or given
after a slash. Hints are words that make it unsafe to call the class absent, though they do not name it.
Classes: person, animal, thing and scene have questions with yes and with no; clothes and ground
(rarely mentioned) are never called absent, so no question asks for their presence either.
"""

from dataclasses import dataclass

TABLE = """
person/people | person | | someone/somebodies human individual/individuals adult pedestrian \
passerby/passersby player athlete performer rider racer runner climber hiker worker spectator onlooker \
participant musician dancer singer teenager teen skater skateboarder snowboarder surfer skier swimmer \
biker cyclist bicyclist motorcyclist driver goalie pitcher batter catcher wrestler boxer artist \
photographer tourist friend | couple group crowd team family families audience band everyone everybody \
people his her he she him they their hand hands leg legs foot feet arm arms face head owner riding rides \
driving soccer football game race kayaking paddling fishing finger fingers walker leash camera cameras
man/men | person | person | guy gentleman/gentlemen dude male fisherman/fishermen cowboy \
businessman/businessmen groom | boy boys his he him father dad teenager teens teenagers
woman/women | person | person | lady/ladies female bride businesswoman/businesswomen waitress/waitresses \
gal | girl girls her she mother mom couple bikini teenager teenagers skirt
child/children | person | person | kid toddler baby/babies infant youngster youth | young boy girl boys \
girls little teenager teenagers family son daughter teen teens
boy/boys | person | child | | man men guy guys male kid kids baby toddler toddlers young his he youth \
teenager teenagers
girl/girls | person | child | | woman women lady ladies female kid kids baby toddler toddlers young her \
she teenager teenagers
animal/animals | animal | | pet creature | wildlife zoo farm
dog/dogs | animal | animal | puppy/puppies canine greyhound poodle terrier retriever collie pup corgi \
labrador dachshund beagle bulldog pug doberman spaniel husky/huskies rottweiler chihuahua pitbull lab \
schnauzer mutt setter | leash shepherd collar hound paws muzzle
cat/cats | animal | animal | kitten kitty/kitties feline tabby/tabbies |
horse/horses | animal | animal | pony/ponies stallion foal bronco | rodeo jockey polo saddle carriage bull \
bucking cowboy reins rider
bird/birds | animal | animal | pigeon seagull gull eagle hawk parrot swan goose/geese owl crane egret \
flamingo pelican heron duck duckling chicken rooster crow | wings feathers beak
cow/cows | animal | animal | bull calf/calves cattle/cattle ox/oxen steer | rodeo horns
sheep/sheep | animal | animal | lamb ram | goat wool
goat/goats | animal | animal | | sheep
elephant/elephants | animal | animal | | trunk
bear/bears | animal | animal | cub |
zebra/zebras | animal | animal | |
giraffe/giraffes | animal | animal | |
monkey/monkeys | animal | animal | ape gorilla chimpanzee |
fish/fish | animal | animal | shark goldfish/goldfish dolphin whale | fishing aquarium bait
rabbit/rabbits | animal | animal | bunny/bunnies hare |
teddy_bear/teddy_bears | thing | | stuffed_animal stuffed_bear | toy
ball/balls | thing | | basketball baseball football softball volleyball soccer_ball tennis_ball beach_ball \
golf_ball rugby_ball cricket_ball bowling_ball | soccer tennis golf rugby cricket bowling kick kicks \
kicking goal goalie fetch pitcher pitch juggling juggles lacrosse hockey puck toy bat batter court \
dribbles dribbling player players sport sports catch catches catching throw throws throwing hoop polo \
dodgeball sphere object game paintball globe
frisbee/frisbees | thing | | disc disk | toy catch catches catching throw throws throwing object something \
ring fetch
stick/sticks | ground | | branch/branches twig |
toy/toys | ground | | doll |
kite/kites | thing | | | parasail flying string glider
balloon/balloons | thing | | | party birthday inflatable
umbrella/umbrellas | thing | | parasol | rain canopy beach
bicycle/bicycles | thing | vehicle | bike mountain_bike | bmx unicycle tricycle scooter biker bikers \
cyclist cyclists bicyclist bicyclists biking cycling pedaling ride rides riding rider riders cycle cycles \
wheelie trick race racing racer motorcycle
motorcycle/motorcycles | thing | vehicle | motorbike dirt_bike dirtbike moped | scooter vespa bike bikes \
biker bikers motocross racer racing rider riders motorcyclist cycle atv race riding ride rides
car/cars | thing | vehicle | taxi automobile jeep van suv sedan cab racecar race_car | traffic street road \
parking driving drives drive racing racetrack truck bus city highway garage rally intersection limo
truck/trucks | thing | vehicle | pickup lorry/lorries fire_truck | traffic car van parking trailer street \
road tractor
bus/buses | thing | vehicle | minibus/minibuses double-decker | traffic street transit
train/trains | thing | vehicle | locomotive | subway tracks railway station rail
airplane/airplanes | thing | vehicle | plane jet aircraft/aircraft helicopter | airport flying
boat/boats | thing | vehicle | ship canoe kayak sailboat ferry/ferries rowboat yacht speedboat | raft \
rowing paddling paddle paddles rafting kayaking canoeing kayaker dock harbor sailing waterskiing \
wakeboarding wakeboard fishing oars kayakers rapids inflatable tube marina
vehicle/vehicles | thing | | atv tractor | wagon cart stroller carriage sled ride riding rides traffic \
street road city
skateboard/skateboards | thing | | longboard | skateboarder skateboarders skateboarding skater skaters \
skating skate board ramp trick tricks grind grinding boarder rail halfpipe
surfboard/surfboards | thing | | boogie_board bodyboard | surfer surfers surfing surf surfs wave waves \
board wakeboarding wakeboard boogie parasailing sail paddle
snowboard/snowboards | thing | | | snowboarder snowboarders snowboarding board skier snow ski boarder
scooter/scooters | thing | | | ride riding rides motorcycle moped skateboard
ski/skis | clothes | | |
sled/sleds | thing | | sleigh toboggan | sledding snow tube sliding slide
guitar/guitars | thing | | | band instrument instruments music musician musicians plays stage concert rock \
performing
drum/drums | thing | | drum_set | band instrument instruments music drummer drumming musicians parade \
concert stage
microphone/microphones | thing | | | sing singing singer sings concert karaoke stage band speaking speech \
interview
camera/cameras | thing | | camcorder | picture pictures photo photos photograph photographer photographs \
photographing filming tripod video looking
trampoline/trampolines | thing | | | bouncing bounces inflatable jumping jump jumps flip
swing/swings | thing | | tire_swing | swinging playground rope park
slide/slides | thing | | | playground sliding waterslide water_slide park
ladder/ladders | thing | | | climbing climbs steps
tent/tents | thing | | canopy/canopies | camp camping market
kennel/kennels | ground | | |
hot_dog/hot_dogs | thing | | | food eating eats grill
pizza/pizzas | thing | | | food eating eats restaurant
cake/cakes | thing | | cupcake | birthday party wedding food dessert eating
sandwich/sandwiches | thing | | burger hamburger | food eating eats lunch
banana/bananas | thing | | | fruit food market
apple/apples | thing | | | fruit food market
ice_cream/ice_creams | thing | | popsicle | eating eats cone dessert licking food
laptop/laptops | thing | | | computer desk office working keyboard
television/televisions | thing | | tv | screen game living watching
clock/clocks | thing | | | tower
toilet/toilets | thing | | | bathroom restroom
sink/sinks | thing | | | bathroom kitchen
bathtub/bathtubs | thing | | | tub bath bathing bathroom
bed/beds | thing | | mattress/mattresses | bedroom sleeping lying laying pillow blanket hotel
couch/couches | thing | | sofa | living sitting seat lounge chair bench room furniture
fire_hydrant/fire_hydrants | thing | | hydrant |
stop_sign/stop_signs | thing | | |
traffic_light/traffic_lights | thing | | stoplight |
bench/benches | thing | | | sitting sits sit seat park seated
fountain/fountains | thing | | | sprinkler water
snow/ | scene | | | snowy ski skiing skier skiers skis snowboard snowboarder snowboarding sled sledding \
winter ice icy frozen snowball snowman snowsuit snowmobile igloo slope sleigh mountain mountains white \
hockey cold snow-covered
beach/beaches | scene | | seashore seaside | sand sandy ocean sea shore surf shoreline coast waves wave \
lake surfer surfing swimsuit tide water
water/ | scene | | ocean lake river pool sea pond stream creek puddle waterfall surf wave rapid | \
splash splashes beach swim swims swimming wet splashing boat boats rain surfer surfing surfboard bath \
bathtub dock kayak canoe raft rafting fishing fish underwater sprinkler diving dives dive sprays spray \
hose shore bay flood waterskiing wakeboard sink shower ice wading wades wade tub drinks drinking snow \
coast marsh swamp pier swimmer duck soaked slip bridge shallow harbor port island mud muddy sprayed \
washing kayaker bubbles floating float paddling jet
street/streets | ground | | road |
sidewalk/sidewalks | ground | | |
building/buildings | ground | | house store shop |
grass/ | ground | | lawn |
field/fields | ground | | meadow pasture |
park/parks | ground | | |
sand/ | ground | | |
dirt/ | ground | | |
tree/trees | ground | | |
rock/rocks | ground | | boulder |
cliff/cliffs | ground | | |
mountain/mountains | ground | | |
hill/hills | ground | | |
fence/fences | ground | | |
wall/walls | ground | | |
table/tables | ground | | desk |
chair/chairs | ground | | |
hurdle/hurdles | ground | | obstacle |
log/logs | ground | | |
car_seat/car_seats | ground | | |
bridge/bridges | ground | | |
flag/flags | ground | | |
sign/signs | ground | | |
bag/bags | ground | | purse handbag suitcase |
backpack/backpacks | clothes | | |
shirt/shirts | clothes | | t-shirt tshirt blouse sweater sweatshirt jersey |
jacket/jackets | clothes | | coat |
hat/hats | clothes | | cap beanie |
helmet/helmets | clothes | | |
dress/dresses | clothes | | gown |
skirt/skirts | clothes | | |
pants/pants | clothes | | jeans/jeans trousers/trousers |
shorts/shorts | clothes | | |
hair/ | clothes | | |
uniform/uniforms | clothes | | |
costume/costumes | clothes | | |
suit/suits | clothes | | |
scarf/scarves | clothes | | |
collar/collars | clothes | | |
bucket/buckets | ground | | |
bottle/bottles | ground | | |
cup/cups | ground | | mug |
book/books | ground | | |
rope/ropes | ground | | |
ramp/ramps | ground | | |
couch_cushion/couch_cushions | ground | | pillow |
cellphone/cellphones | ground | | phone cell_phone |
"""
EXISTENCE_KINDS = ("person", "animal", "thing", "scene")
POPE = ("person", "animal", "thing")


@dataclass(frozen=True)
class ObjectClass:
    """One row of the table; forms and hints are tuples of words, plurals apart."""

    name: str
    kind: str
    parents: tuple[str, ...]
    singulars: tuple[tuple[str, ...], ...]
    plurals: tuple[tuple[str, ...], ...]
    hints: frozenset[str]

    @property
    def mass(self) -> bool:
        """True for stuff that cannot be counted (snow)."""
        return not self.plurals or self.name in ("water")


def _plural(word: str) -> str:
    if word.endswith(("s", "sh", "ch", "x")):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"


def _object_class(row: str) -> ObjectClass:
    head, kind, parents, forms, hints = (cell.strip() for cell in row.split("|"))
    singulars, plurals = [], []
    for number, form in enumerate([head, *forms.split()]):
        singular, slash, plural = form.partition("/")
        singulars.append(tuple(singular.split("_")))
        plural = plural if slash else _plural(singular)
        if plural and (number == 0 or plural != singular):
            plurals.append(tuple(plural.split("_")))
    name = head.partition("/")[0].replace("_", " ")
    return ObjectClass(
        name, kind, tuple(parents.split()), tuple(singulars), tuple(plurals), frozenset(hints.split())
    )


OBJECT_CLASSES: dict[str, ObjectClass] = {
    object_class.name: object_class for object_class in map(_object_class, TABLE.strip().splitlines())
}


def ancestors(name: str) -> set[str]:
    """Names of all superclasses of `name`."""
    names: set[str] = set()
    for parent in OBJECT_CLASSES[name].parents:
        names |= {parent} | ancestors(parent)
    return names


RELATIVES: dict[str, frozenset[str]] = {
    name: frozenset(
        {name} | ancestors(name) | {other for other in OBJECT_CLASSES if name in ancestors(other)}
    )
    for name in OBJECT_CLASSES
}


def surface_forms() -> dict[str, list[str]]:
    """Canonical name -> surface forms, for config.json and the hallucination measures."""
    return {
        name: sorted({" ".join(form) for form in (*object_class.singulars, *object_class.plurals)})
        for name, object_class in OBJECT_CLASSES.items()
    }
