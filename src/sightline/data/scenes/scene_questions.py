"""Questions about a scene, true by its scene graph (scene_oracle.py answers them from the wording alone).

Per picture: three existence, one attribute, colour, size, count and relation question where the scene allows,
and one description; for train attribute, count and relation once more and the auxiliary position and
left_of; for all other splits the POPE questions (Li et al. 2023, arXiv:2305.10355). A kind is asked about as
"the X" only if it occurs once or all of its objects agree. Wording is fixed; the answer is lower-case.
"""

from collections import Counter

import numpy as np

from sightline.data.scenes.render import COLORS, SIDE
from sightline.data.scenes.sample import BIAS, HELD_OUT, KINDS, PLURALS
from sightline.data.scenes.scene_captions import article, centre

EXISTENCE = 3
AHEAD = 30
PARTNER = {**BIAS, **{second: first for first, second in BIAS.items()}}


class SceneQuestionGenerator:
    """Questions about the scenes of one split, in their order; keeps the answers of the split in balance.

    `statistics` is sample.statistics of train. The questions about a scene depend on the scenes before
    it, never on later ones, so a prefix of a split keeps its questions.
    """

    def __init__(
        self,
        split: str,
        statistics: dict,
        rng: np.random.Generator,
        relation_margin: int,
        pope_per_image: int,
    ):
        self.split = split
        self.statistics = statistics
        self.rng = rng
        self.margin = relation_margin
        self.pope_per_image = pope_per_image
        self.tally: Counter[tuple[str, str]] = Counter()

    def generate(self, scene: dict, caption: str) -> list[dict]:
        """Triples without item and image; `caption` is the full description, the answer of describe."""
        objects, rounds = scene["objects"], 2 if self.split == "train" else 1
        triples = [
            *self.existence(objects),
            *self.attribute(objects, rounds),
            *self.agreed(objects, "color"),
            *self.agreed(objects, "size"),
            *self.count(objects, rounds),
            *self.relation(objects, rounds),
            triple("describe", "Describe the image in detail.", caption),
        ]
        if self.split == "train":
            return [*triples, *self.position(objects), *self.left_of(objects)]
        return [*triples, *self.pope(objects)]

    def pick(self, options: list):
        return options[self.rng.integers(len(options))]

    def surplus(self, kind_of_question: str) -> int:
        return self.tally[kind_of_question, "yes"] - self.tally[kind_of_question, "no"]

    def rarest(self, kind_of_question: str, options: list[dict]) -> list[dict]:
        """The option with the rarest answer of the split so far, drawn among equals; counted. At most one."""
        if not options:
            return []
        counts = [self.tally[kind_of_question, option["answer"]] for option in options]
        chosen = self.pick([option for option, n in zip(options, counts, strict=True) if n == min(counts)])
        self.tally[kind_of_question, chosen["answer"]] += 1
        return [chosen]

    def existence(self, objects: list[dict]) -> list[dict]:
        """Three kinds, one to three of them present, so that yes and no stay level over the split."""
        present, absent = kinds_of(objects)
        surplus = self.surplus("existence")
        wanted = 1 if surplus > 0 else 3 if surplus <= -3 else 2
        yes = min(wanted, len(present))
        chosen = [triple("existence", is_there(kind), "yes", object=kind) for kind in self.draw(present, yes)]
        for _ in range(EXISTENCE - yes):
            kind, negative = self.absent_kind(present, absent)
            absent = [other for other in absent if other != kind]
            chosen.append(triple("existence", is_there(kind), "no", object=kind, negative=negative))
        self.tally["existence", "yes"] += yes
        self.tally["existence", "no"] += EXISTENCE - yes
        return [chosen[i] for i in self.rng.permutation(EXISTENCE)]

    def absent_kind(self, present: list[str], absent: list[str]) -> tuple[str, str]:
        """A missing partner of a biased pair while these are below a third of all "no", else any absent kind.

        The missing second of a present first may run AHEAD of that third; the missing first of a present
        second only fills it, where pictures without the likely second are rare.
        """
        seconds = [BIAS[kind] for kind in present if BIAS.get(kind) in absent]
        partners = seconds or [PARTNER[kind] for kind in present if PARTNER.get(kind) in absent]
        ahead = 3 * self.tally["negative", "partner"] - self.tally["negative", "all"]
        negative = "random"
        if partners and ahead <= (AHEAD if seconds else 0):
            absent, negative = partners, "partner"
            self.tally["negative", "partner"] += 1
        self.tally["negative", "all"] += 1
        return self.pick(absent), negative

    def draw(self, options: list[str], count: int) -> list[str]:
        return [options[i] for i in self.rng.permutation(len(options))[:count]]

    def attribute(self, objects: list[dict], rounds: int) -> list[dict]:
        """A colour and a kind: present together, or both present but apart, or the colour absent."""
        pairs = {(t["color"], t["kind"]) for t in objects}
        chosen: dict[tuple[str, str], str] = {}
        for _ in range(rounds):
            left = sorted(pairs - chosen.keys())
            if left and self.surplus("attribute") <= 0:
                color, kind = self.pick(sorted(set(left) & set(HELD_OUT)) or left)
                answer = "yes"
            else:
                kind = self.pick(sorted({t["kind"] for t in objects}))
                # A held-out pair is never a "no": in training that would teach the answer of novel_test.
                no = [(c, kind) for c in COLORS if (c, kind) not in pairs and (c, kind) not in HELD_OUT]
                options = [c for c, _ in no if (c, kind) not in chosen]
                swapped = [c for c in options if any(t["color"] == c for t in objects)]
                color = self.pick(swapped if swapped and self.rng.integers(2) else options)
                answer = "no"
            self.tally["attribute", answer] += 1
            chosen[color, kind] = answer
        return [
            triple("attribute", f"Is there {article(color)} {kind}?", answer, object=kind, color=color)
            for (color, kind), answer in chosen.items()
        ]

    def agreed(self, objects: list[dict], what: str) -> list[dict]:
        """Colour or size of a kind whose objects agree in it."""
        options = []
        for kind in kinds_of(objects)[0]:
            values = {t[what] for t in objects if t["kind"] == kind}
            if len(values) == 1:
                options.append(triple(what, f"What {what} is the {kind}?", values.pop(), object=kind))
        return self.rarest(what, options)

    def count(self, objects: list[dict], rounds: int) -> list[dict]:
        """How many of a kind; an absent one is offered too, so zero is an answer."""
        present, absent = kinds_of(objects)
        numbers = Counter(t["kind"] for t in objects)
        options = [
            triple("count", f"How many {PLURALS[kind]} are there?", str(numbers[kind]), object=kind)
            for kind in [*present, self.pick(absent)]
        ]
        chosen: list[dict] = []
        for _ in range(rounds):
            chosen += self.rarest("count", [option for option in options if option not in chosen])
        return chosen

    def relation(self, objects: list[dict], rounds: int) -> list[dict]:
        """Side of one unique kind relative to another, where one offset clearly exceeds the other."""
        single = singles(objects)
        options = []
        for a in single:
            for b in single:
                side = dominant(offset(a, b), self.margin) if a is not b else None
                if side:
                    question = f"Where is the {a['kind']} relative to the {b['kind']}?"
                    options.append(triple("relation", question, side, object=a["kind"], other=b["kind"]))
        chosen: list[dict] = []
        for _ in range(rounds):
            chosen += self.rarest("relation", [option for option in options if option not in chosen])
        return chosen

    def position(self, objects: list[dict]) -> list[dict]:
        """Side of a unique kind relative to the centre of the picture."""
        options = []
        for item in singles(objects):
            x, y = centre(item)
            side = dominant((x - SIDE, y - SIDE), self.margin)
            if side:
                question = f"Where is the {item['kind']} in the image?"
                options.append(triple("position", question, side, object=item["kind"]))
        return self.rarest("position", options)

    def left_of(self, objects: list[dict]) -> list[dict]:
        """Order of two unique kinds that are the margin apart from left to right."""
        single = singles(objects)
        options = []
        for a in single:
            for b in single:
                dx = offset(a, b)[0]
                if a is not b and abs(dx) >= 2 * self.margin:
                    question = f"Is the {a['kind']} left of the {b['kind']}?"
                    answer = "yes" if dx < 0 else "no"
                    options.append(triple("left_of", question, answer, object=a["kind"], other=b["kind"]))
        return self.rarest("left_of", options)

    def pope(self, objects: list[dict]) -> list[dict]:
        """Half present, half absent kinds; absent ones at random, by frequency in train, by co-occurrence."""
        present, absent = kinds_of(objects)
        half = min(self.pope_per_image // 2, len(present), len(absent))
        images, pairs = self.statistics["images"], self.statistics["pairs"]
        popular = sorted(absent, key=lambda kind: (-images[kind], kind))
        # Of the train pictures with a present kind, the share that shows the absent one too: the highest.
        together = {kind: max(pairs[p][kind] / max(images[p], 1) for p in present) for kind in absent}
        adversarial = sorted(absent, key=lambda kind: (-together[kind], kind))
        triples = []
        for name, negative, ranked in (
            ("pope_random", "random", self.draw(absent, half)),
            ("pope_popular", "popular", popular[:half]),
            ("pope_adversarial", "cooccurrence", adversarial[:half]),
        ):
            triples += [triple(name, is_there(kind), "yes", object=kind) for kind in self.draw(present, half)]
            triples += [triple(name, is_there(kind), "no", object=kind, negative=negative) for kind in ranked]
        return triples


def triple(kind_of_question: str, question: str, answer: str, **details: str) -> dict:
    return {
        "type": kind_of_question,
        "question": question,
        "answer": answer,
        "rule": f"scene.{kind_of_question}",
        "source": "scene",
        **details,
    }


def kinds_of(objects: list[dict]) -> tuple[list[str], list[str]]:
    """Present and absent kinds, each in the order of KINDS."""
    present = {t["kind"] for t in objects}
    return [k for k in KINDS if k in present], [k for k in KINDS if k not in present]


def singles(objects: list[dict]) -> list[dict]:
    """Objects whose kind occurs once."""
    numbers = Counter(t["kind"] for t in objects)
    return [t for t in objects if numbers[t["kind"]] == 1]


def offset(a: dict, b: dict) -> tuple[int, int]:
    """Twice the vector from the centre of b to the centre of a."""
    return centre(a)[0] - centre(b)[0], centre(a)[1] - centre(b)[1]


def dominant(twice: tuple[int, int], margin: int) -> str | None:
    """Side of the larger component of a doubled offset if it exceeds the other by `margin` pixels."""
    dx, dy = twice
    if abs(abs(dx) - abs(dy)) < 2 * margin:
        return None
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "below" if dy > 0 else "above"


def is_there(kind: str) -> str:
    return f"Is there a {kind}?"
