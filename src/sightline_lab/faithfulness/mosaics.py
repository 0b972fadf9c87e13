"""Cases with a known place where nobody drew boxes: four photos as one picture, of which one holds the object
that is asked about (the grid pointing game of Rao, Böhle and Schiele 2022, arXiv 2205.10435)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.core import artifacts
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.explain.explained_items import names
from sightline.explain.faithfulness import Box
from sightline.explain.faithfulness_benchmark import LocatedAnswer
from sightline.explain.target import ExplainedModel, ask

Right = Callable[[str, str], bool]


def located_answers(
    model: ExplainedModel, raw: Path, vqa: Path, split: str, right: Right, seed: int
) -> Iterator[LocatedAnswer]:
    """The split's questions "What color is the X?" in order, one per photo, that the model answers correctly
    about the photo alone and beside three others whose captions name no X. The box is the photo's quarter of
    the four; which photos and which quarter are drawn by `seed` and the photo."""
    items, triples = Items(raw), Triples(vqa, split)
    objects = artifacts.read_json(vqa / "config.json")["objects"]
    every = [triples[index] for index in range(len(triples))]
    in_split = sorted({triple["item"] for triple in every})
    used: set[int] = set()
    for triple in every:
        item, asked = triple["item"], (triple["question"], triple["answer"])
        if triple["type"] != "color" or item in used:
            continue
        used.add(item)
        if not _is_right(model, items.image(items[item]), *asked, right):
            continue
        rng, others = np.random.default_rng([seed, item]), []
        for other in rng.permutation(in_split).tolist():
            captions = " ".join(items[other]["captions"])
            known = other != item and captions
            if len(others) < 3 and known and not names(captions, triple["object"], objects):
                others.append(other)
        if len(others) < 3:
            continue
        place = int(rng.integers(4))
        others.insert(place, item)
        rgb, box = mosaic(model, [items.image(items[each]) for each in others], place)
        answer = ask(model, rgb, asked[0])
        if answer.words and right(asked[1], answer.answer):
            yield LocatedAnswer(answer, True, box, items[item])


def mosaic(model: ExplainedModel, photos: list[np.ndarray], place: int) -> tuple[np.ndarray, Box]:
    """Four photos, each what the model would see of it, as one picture [2 S, 2 S, 3], row by row; and the box
    of the one at `place`. S is the side of the model's input."""
    side = model.session.image_size
    tiles = []
    for rgb in photos:
        seen = model.session.preprocessing.seen(*rgb.shape[:2])
        tile = Image.fromarray(rgb[seen.slices]).resize((side, side), Image.Resampling.BICUBIC)
        tiles.append(np.asarray(tile))
    rows = [np.concatenate(tiles[start : start + 2], axis=1) for start in (0, 2)]
    y, x = place // 2 * side, place % 2 * side
    return np.concatenate(rows), (x, y, x + side, y + side)


def _is_right(model: ExplainedModel, rgb: np.ndarray, question: str, truth: str, right: Right) -> bool:
    return right(truth, ask(model, rgb, question).answer)
