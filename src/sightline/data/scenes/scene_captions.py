"""Five captions of a scene: plain lower-case English that names every object by kind and colour.

captions[0] is the full description: size, colour, kind and position of each object from left to right, and
the relation of the lowest to the highest. Every kind is named by its singular or its plural
(sample.PLURALS), so that CHAIR can read the kinds back from any text in this style.
"""

import numpy as np

from sightline.data.scenes.render import SIDE
from sightline.data.scenes.sample import PLURALS

COLUMNS = ("left", "", "right")
ROWS = ("top", "", "bottom")
NUMBERS = ("no", "one", "two", "three", "four", "five")
OPENINGS = ("there is", "this picture shows", "we see", "the scene contains")
ENDINGS = ("on a plain background", "lit from the upper left", "in a simple scene")


def captions(scene: dict, rng: np.random.Generator) -> list[str]:
    """Full description, then four paraphrases: shuffled positions, colours and kinds, counts, relations."""
    objects = reading_order(scene)
    shuffled = [objects[i] for i in rng.permutation(len(objects))]
    opening = OPENINGS[rng.integers(len(OPENINGS))]
    ending = ENDINGS[rng.integers(len(ENDINGS))]
    return [
        description(objects, opening),
        join([f"{position(t)} is {article(phrase(t))}" for t in shuffled]),
        join([article(f"{t['color']} {t['kind']}") for t in shuffled]) + f" {ending}",
        f"{opening} {join(groups(objects))}",
        chain(shuffled),
    ]


def reading_order(scene: dict) -> list[dict]:
    """Objects from left to right, equal ones from top to bottom."""
    return sorted(scene["objects"], key=lambda t: (centre(t), t["kind"], t["color"]))


def description(objects: list[dict], opening: str) -> str:
    """Every object with size, colour, kind and position; then one relation if both names are unambiguous."""
    text = f"{opening} {join([f'{article(phrase(t))} {position(t)}' for t in objects])}"
    high, low = min(objects, key=lambda t: centre(t)[1]), max(objects, key=lambda t: centre(t)[1])
    names = [f"{t['color']} {t['kind']}" for t in objects]
    high_name, low_name = f"{high['color']} {high['kind']}", f"{low['color']} {low['kind']}"
    if names.count(high_name) > 1 or names.count(low_name) > 1 or high is low:
        return text
    return f"{text}. the {low_name} is {relation(low, high)} the {high_name}"


def phrase(item: dict) -> str:
    return f"{item['size']} {item['color']} {item['kind']}"


def article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def join(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def centre(item: dict) -> tuple[int, int]:
    """Twice the centre of the box, so that it stays an integer."""
    x0, y0, x1, y1 = item["box"]
    return x0 + x1, y0 + y1


def position(item: dict) -> str:
    """One of nine positions: thirds of the picture by the centre of the box."""
    x, y = (min(3 * twice // (2 * SIDE), 2) for twice in centre(item))
    column, row = COLUMNS[x], ROWS[y]
    if row and column:
        return f"in the {row} {column}"
    if row:
        return f"at the {row}"
    return f"on the {column}" if column else "in the middle"


def relation(a: dict, b: dict) -> str:
    """Position of a relative to b, along the larger offset."""
    (ax, ay), (bx, by) = centre(a), centre(b)
    if abs(ax - bx) >= abs(ay - by):
        return "right of" if ax > bx else "left of"
    return "below" if ay > by else "above"


def groups(objects: list[dict]) -> list[str]:
    """One part a kind: `a red ball`, or `two stars, one blue and one red`."""
    parts = []
    for kind in dict.fromkeys(t["kind"] for t in objects):
        colors = [t["color"] for t in objects if t["kind"] == kind]
        if len(colors) == 1:
            parts.append(article(f"{colors[0]} {kind}"))
        elif len(set(colors)) == 1:
            parts.append(f"{NUMBERS[len(colors)]} {colors[0]} {PLURALS[kind]}")
        else:
            counted = [f"{NUMBERS[colors.count(c)]} {c}" for c in dict.fromkeys(colors)]
            parts.append(f"{NUMBERS[len(colors)]} {PLURALS[kind]} ({join(counted)})")
    return parts


def chain(objects: list[dict]) -> str:
    """Each object by its relation to the one named before."""
    if len(objects) == 1:
        return f"only {article(phrase(objects[0]))} {position(objects[0])}"
    steps = [article(f"{objects[0]['color']} {objects[0]['kind']}")]
    for before, item in zip(objects, objects[1:], strict=False):
        steps.append(f"{article(phrase(item))} {relation(item, before)} it")
    return ", ".join(steps)
