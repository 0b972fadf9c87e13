"""Rendered scenes as items of an audit: the questions of the benchmark, true by the scene graph.

A scene depends on (seed, index) alone, so a smaller audit asks a part of what a larger one asks, and two
audits of one seed are paired.
"""

import io

import numpy as np
from PIL import Image

from sightline.audit.audit_items import Box, Items, Picture
from sightline.core import progress
from sightline.core.runtime import derive_seed
from sightline.data.scenes import sample as sampling
from sightline.data.scenes.render import COLORS, ZOOMS, render
from sightline.data.scenes.scene_captions import captions
from sightline.data.scenes.scene_questions import SceneQuestionGenerator
from sightline.data.scenes.shapes import SIDES

SPLIT = "test"  # its objects come together as in training: what adversarial questions ask for
TRAINING = 2000  # scenes that are counted for what is popular and what comes together
MARGIN = 8  # pixels between the larger and the smaller offset of two objects in a relation
POPE_PER_IMAGE = 6  # of each kind, half of them yes
LEFT_OUT = "existence"  # the polls ask the same
CHOICES = {
    "color": tuple(COLORS),
    "size": tuple(SIDES),
    "count": tuple(map(str, range(sampling.MAX_OBJECTS + 1))),
    "relation": ("left", "right", "above", "below"),
}


def draw(count: int, seed: int, zoom: int = 1) -> Items:
    """`count` scenes, each drawn with `zoom` pixels per pixel and side of the benchmark's 64. Raises
    ValueError for a zoom that scenes are not drawn in."""
    if zoom not in (1, *ZOOMS):
        raise ValueError(f"--data scenes:{zoom}: scenes are drawn at {', '.join(map(str, (1, *ZOOMS)))}")
    training = (sampling.sample(seed, "train", index) for index in range(TRAINING))
    statistics = sampling.statistics(progress.track(training, "scenes counted", TRAINING))
    rng = np.random.default_rng(derive_seed(seed, "audit", "questions"))
    generator = SceneQuestionGenerator(SPLIT, statistics, rng, MARGIN, POPE_PER_IMAGE)
    pictures, triples, present, seen = [], [], [], set[str]()
    boxes: list[dict[str, list[Box]]] = []
    for index in range(count):
        scene, attempt = sampling.sample(seed, SPLIT, index), 0
        while (digest := sampling.graph_hash(scene)) in seen:
            attempt += 1
            scene = sampling.sample(seed, SPLIT, index, attempt)
        seen.add(digest)
        pictures.append(Picture(f"scene-{index:05d}", _png(render(scene, zoom))))
        caption = captions(scene, np.random.default_rng(derive_seed(seed, "audit", "caption", index)))[0]
        triples.append([it for it in generator.generate(scene, caption) if it["type"] != LEFT_OUT])
        present.append({item["kind"] for item in scene["objects"]})
        boxes.append({kind: _boxes(scene, kind, zoom) for kind in present[-1]})
    objects = {kind: [kind, many] for kind, many in sampling.PLURALS.items()}
    truth = "exact: the description that each scene was drawn from"
    return Items(
        "scenes" if zoom == 1 else f"scenes:{zoom}", pictures, triples, present, objects, CHOICES, truth,
        boxes,
    )  # fmt: skip


def _boxes(scene: dict, kind: str, zoom: int) -> list[Box]:
    """Of the objects of a kind, in pixels of the picture."""
    found = (item["box"] for item in scene["objects"] if item["kind"] == kind)
    return [(zoom * x0, zoom * y0, zoom * x1, zoom * y1) for x0, y0, x1, y1 in found]


def _png(rgb: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "PNG", compress_level=1)
    return out.getvalue()
