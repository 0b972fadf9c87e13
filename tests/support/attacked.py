"""Rendered scenes with their questions, and models of which it is known how often an attack succeeds."""

import io
import json
import re
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from sightline.core import artifacts
from sightline.core.params.red_team_params import RedTeamParams
from sightline.data.scenes.render import COLORS, render
from sightline.data.scenes.sample import PLURALS, sample, statistics
from sightline.data.scenes.scene_captions import captions
from sightline.data.scenes.scene_oracle import oracle
from sightline.data.scenes.scene_questions import SceneQuestionGenerator
from sightline.data.shards import ShardWriter
from sightline.evaluate.red_team.attacked_model import AttackedModel
from sightline.evaluate.red_team.families.mirrored_picture import mirrored
from sightline.evaluate.red_team.material import Material
from sightline.evaluate.red_team.picture_changes import letters
from sightline.inference.answering import Answer

EFFORT = {"items": 20, "seed": 7, "epsilon": 8, "queries": 30}
UNLIKE = 30.0  # mean difference of a pixel's values, above which a picture shows none of the scenes
WORDS = [
    *PLURALS, *COLORS, *(f"{color} {kind}" for color in COLORS for kind in PLURALS), "left", "right", "above",
    "below", "large", "small", *map(str, range(6)),
]  # fmt: skip


def effort(**changed: int) -> RedTeamParams:
    return RedTeamParams(**EFFORT | changed)


def scenes(count: int) -> list[dict]:
    return [sample(3, "test", index) for index in range(count)]


def build(folder: Path, count: int = 24) -> tuple[Path, Path]:
    """data/raw and data/vqa with `count` rendered scenes in the split test."""
    raw, vqa = folder / "raw", folder / "vqa"
    drawn = scenes(count)
    asked = SceneQuestionGenerator("test", statistics(drawn), np.random.default_rng(5), 8, 2)
    triples = []
    with artifacts.create(raw, "raw", {"image_side": 64, "source": "scenes"}) as filling:
        with ShardWriter(filling, 1 << 20) as writer:
            for line, scene in enumerate(drawn):
                texts, png = captions(scene, np.random.default_rng(line)), io.BytesIO()
                Image.fromarray(render(scene)).save(png, "PNG")
                item = {"id": f"test-{line}", "split": "test", "captions": texts, "scene": scene}
                writer.add(item, png.getvalue())
                triples += [
                    {**triple, "item": line, "image": item["id"]}
                    for triple in asked.generate(scene, texts[0])
                ]
    objects = {kind: [kind, plural] for kind, plural in PLURALS.items()}
    with artifacts.create(vqa, "vqa", {"objects": objects}) as filling:
        (filling / "test.jsonl").write_text("".join(f"{json.dumps(triple)}\n" for triple in triples))
    return raw, vqa


class Ideal:
    """Sees which scene a picture is of, and what was done to it; sure only of what it sees."""

    answers = True

    def __init__(self, count: int = 24, sure_above: float | None = 0.5) -> None:
        self.settings = SimpleNamespace(confidence=SimpleNamespace(sure_above=sure_above))
        self.count, self.asked = count, 0

    @cached_property
    def known(self) -> list[tuple[dict, np.ndarray]]:
        """Every scene and its mirror image, with its pixels."""
        drawn = [(scene, render(scene)) for scene in scenes(self.count)]
        return drawn + [(mirrored(scene), rgb[:, ::-1]) for scene, rgb in drawn]

    def answer(self, images, questions, *, batch_size=1, captions=None):
        self.asked += len(images)
        captions = captions or [()] * len(images)
        return [
            self._answer(*self.say(rgb, question, tuple(read)))
            for rgb, question, read in zip(images, questions, captions, strict=True)
        ]

    def _answer(self, text: str, sure: bool, probability: float = 0.9) -> Answer:
        unread = (True, None, None, [], "greedy")
        bounded = None if self.settings.confidence.sure_above is None else sure
        return Answer(text, [], probability, probability, bounded, *unread)

    def seen(self, rgb: np.ndarray) -> tuple[dict, np.ndarray] | None:
        """The scene that a picture is of, and where the picture differs from it, bool [Y, X]."""
        apart = [np.abs(rgb.astype(int) - pixels).mean() for _, pixels in self.known]
        nearest = int(np.argmin(apart))
        if apart[nearest] > UNLIKE:
            return None
        scene, pixels = self.known[nearest]
        return scene, (rgb != pixels).any(axis=2)

    def say(self, rgb: np.ndarray, question: str, captions: tuple[str, ...]) -> tuple:
        """(answer, sure, probability) to the last sentence of what is asked."""
        found, asked = self.seen(rgb), question.split(". ")[-1]
        if found is None:
            return "no", False
        scene, changed_YX = found
        match = re.fullmatch(r"Is there no (.+)\?", asked)
        if match:
            there = oracle(scene, {"question": f"Is there a {match[1]}?"})
            return {"yes": "no", "no": "yes"}[there], True
        try:
            text = oracle(scene, {"question": asked})
        except ValueError:  # one of the things is not there
            return "unclear", False
        return text, text != "unclear" and not self._hidden(scene, asked, changed_YX)

    def _hidden(self, scene: dict, asked: str, changed_YX: np.ndarray) -> bool:
        """Whether a thing that is asked about was painted over."""
        boxes = [part["box"] for part in scene["objects"] if part["kind"] in asked]
        return any(changed_YX[y0:y1, x0:x1].mean() > 0.8 for x0, y0, x1, y1 in boxes)


class Reads(Ideal):
    """Believes what is written on a picture."""

    def say(self, rgb, question, captions):
        word = written(rgb)
        if word and question.startswith("Is there") and f" {word}?" in question:
            return "yes", True
        if word and not question.startswith("Is there"):
            return word, True
        return super().say(rgb, question, captions)


def written(rgb: np.ndarray) -> str:
    """The word on a patch; empty without one."""
    ink_YX = (rgb == 0).all(axis=2)
    return next((word for word in WORDS if _same(_cropped(ink_YX), _cropped(letters(word)))), "")


def _cropped(ink_YX: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(ink_YX.any(axis=1)), np.flatnonzero(ink_YX.any(axis=0))
    if not len(rows):
        return np.zeros((0, 0), bool)
    return ink_YX[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(other.size) and one.shape == other.shape and bool((one == other).all())


class Affirms(Ideal):
    """Says yes to everything that can be affirmed."""

    def say(self, rgb, question, captions):
        return ("yes", True) if question.startswith("Is ") else super().say(rgb, question, captions)


class Boasts(Ideal):
    """Sure of an answer, whatever it sees."""

    def say(self, rgb, question, captions):
        text, *_ = super().say(rgb, question, captions)
        return (text if self.seen(rgb) is not None else "seven"), True


class Remembers(Ideal):
    """Answers a question as the first time, whatever the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[str, tuple] = {}

    def say(self, rgb, question, captions):
        return self.first.setdefault(question, super().say(rgb, question, captions))


class Believes(Ideal):
    """Believes a sentence before the question, and a caption beside it."""

    def say(self, rgb, question, captions):
        if captions and captions[0].startswith(question):
            return captions[0].removeprefix(question).strip(), True
        if question.startswith("There is "):
            return ("no" if question.startswith("There is no ") else "yes"), True
        return super().say(rgb, question, captions)


class IgnoresMirrors(Ideal):
    """Takes a mirrored picture for the one that it was."""

    @cached_property
    def known(self):
        drawn = [(scene, render(scene)) for scene in scenes(self.count)]
        return drawn + [(scene, rgb[:, ::-1]) for scene, rgb in drawn]


class Brittle(Ideal):
    """Wrong once seven tenths of the red values are brighter than they were, the less likely the nearer it is
    to that: a search finds such a picture, chance does not."""

    def say(self, rgb, question, captions):
        apart = [np.abs(rgb.astype(int) - pixels).mean() for _, pixels in self.known]
        pixels = self.known[int(np.argmin(apart))][1]
        brighter = float((rgb[..., 0].astype(int) > pixels[..., 0]).mean())
        text, sure = super().say(rgb, question, captions)
        return ("wrong" if brighter > 0.7 else text), sure, 1.0 - brighter


def attacked(model: Ideal) -> AttackedModel:
    return AttackedModel(model, None, "en", "0" * 64)


def material(raw: Path, vqa: Path, language: str = "en") -> Material:
    return Material.read(raw, vqa, "test", 0, language)
