"""Oracle: answers a question from its wording and the scene graph, by no rule of scene_questions.py."""

import re

from sightline.data.scenes.render import COLORS, SIDE
from sightline.data.scenes.sample import PLURALS
from sightline.data.scenes.scene_captions import OPENINGS, description, reading_order

WORDINGS = (
    ("describe", r"describe the image in detail\."),
    ("exists", r"is there an? (?:(?P<color>{colors}) )?(?P<a>{kinds})\?"),
    ("value", r"what (?P<what>color|size) is the (?P<a>{kinds})\?"),
    ("count", r"how many (?P<plural>{plurals}) are there\?"),
    ("side", r"where is the (?P<a>{kinds}) relative to the (?P<b>{kinds})\?"),
    ("side", r"where is the (?P<a>{kinds}) in the image\?"),
    ("left_of", r"is the (?P<a>{kinds}) left of the (?P<b>{kinds})\?"),
)
CHOICES = {"colors": "|".join(COLORS), "kinds": "|".join(PLURALS), "plurals": "|".join(PLURALS.values())}
PATTERNS = [(rule, re.compile(wording.format(**CHOICES))) for rule, wording in WORDINGS]


def oracle(scene: dict, triple: dict) -> str:
    """Answer to triple["question"]; ValueError if the wording is not one of the benchmark's."""
    question = triple["question"].lower()
    for rule, pattern in PATTERNS:
        if match := pattern.fullmatch(question):
            return _answer(rule, scene, match.groupdict())
    raise ValueError(
        f"scenes oracle: unknown wording {triple['question']!r}; expected one of scene_questions.py's"
    )


def _answer(rule: str, scene: dict, slots: dict[str, str | None]) -> str:
    objects = scene["objects"]
    if rule == "describe":
        return description(reading_order(scene), OPENINGS[0])
    if rule == "count":
        return str(sum(PLURALS[t["kind"]] == slots["plural"] for t in objects))
    matching = [t for t in objects if t["kind"] == slots["a"]]
    if rule == "exists":
        return "yes" if any(slots["color"] in (None, t["color"]) for t in matching) else "no"
    if rule == "value":
        values = {t[slots["what"]] for t in matching}
        return values.pop() if len(values) == 1 else "unclear"
    x, y = _centre(matching)
    other_objects = [t for t in objects if t["kind"] == slots.get("b")]
    other_x, other_y = _centre(other_objects) if other_objects else (SIDE / 2, SIDE / 2)
    if rule == "left_of":
        return "yes" if x < other_x else "no"
    if abs(x - other_x) > abs(y - other_y):
        return "left" if x < other_x else "right"
    return "above" if y < other_y else "below"


def _centre(objects: list[dict]) -> tuple[float, float]:
    """Middle of the box of the only object."""
    if len(objects) != 1:
        raise ValueError(f"scenes oracle: {len(objects)} objects of the kind asked about; expected exactly 1")
    x0, y0, x1, y1 = objects[0]["box"]
    return (x0 + x1) / 2, (y0 + y1) / 2
