"""Scene graphs against the frozen benchmark rules (docs: the scenes benchmark)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.data.scenes.render import COLORS, SIDE
from sightline.data.scenes.sample import (
    BIAS,
    HELD_OUT,
    KINDS,
    PLURALS,
    SPLITS,
    graph_hash,
    sample,
    statistics,
)
from sightline.data.scenes.shapes import SIDES, template

COUNT = 1500


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[dict]]:
    return {split: [sample(7, split, i) for i in range(COUNT)] for split in SPLITS}


def with_partner(scenes: list[dict], lead: str) -> tuple[int, int]:
    kinds = [{t["kind"] for t in scene["objects"]} for scene in scenes]
    return sum(lead in k for k in kinds), sum(lead in k and BIAS[lead] in k for k in kinds)


def test_the_benchmark_is_large_enough():
    assert len(KINDS) >= 10 and len(COLORS) == 8 and len(SIDES) == 2
    assert len(HELD_OUT) == len(set(HELD_OUT)) == 8 and len(KINDS) * len(COLORS) >= 80
    assert len(BIAS) == 4 and not set(BIAS) & set(BIAS.values())
    assert len(set(PLURALS.values()) | set(PLURALS)) == 2 * len(KINDS)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(SPLITS), st.integers(0, 10**6))
def test_every_scene_is_legal(seed: int, split: str, index: int):
    scene = sample(seed, split, index)
    things = scene["objects"]
    assert 1 <= len(things) <= 5
    for thing in things:
        x0, y0, x1, y1 = thing["box"]
        assert 0 <= x0 < x1 <= SIDE and 0 <= y0 < y1 <= SIDE
        assert thing["kind"] in KINDS and thing["color"] in COLORS and thing["size"] in SIDES
    bottoms = [t["box"][3] for t in things]
    assert bottoms == sorted(bottoms), "nearer objects come later"
    assert scene == sample(seed, split, index)


def test_at_least_60_percent_of_every_object_is_visible(scenes):
    """Recounted pixel by pixel, from nearest to farthest, with sets instead of the sampler's painting."""
    for split in SPLITS:
        assert all(scene["objects"] for scene in scenes[split])
        for scene in scenes[split][:200]:
            hidden: set[tuple[int, int]] = set()
            for thing in reversed(scene["objects"]):
                x0, y0, _, _ = thing["box"]
                solid = template(thing["kind"], thing["size"]).alpha_YX >= 128
                pixels = {(y0 + y, x0 + x) for y, x in zip(*solid.nonzero(), strict=True)}
                share = len(pixels - hidden) / len(pixels)
                assert share >= 0.6
                assert share - 0.01 < thing["visible"] <= share  # kept in whole percents, rounded down
                hidden |= pixels


@pytest.mark.parametrize("lead", BIAS)
def test_bias_rates(scenes, lead: str):
    for split in ("train", "val", "test", "novel_test"):
        n, together = with_partner(scenes[split], lead)
        # Four standard errors at the smallest n seen (about 240) are 0.10.
        assert n > 150 and abs(together / n - 0.8) < 0.1, (split, n, together / n)
    for split in ("shift_val", "shift_test"):
        n, together = with_partner(scenes[split], lead)
        assert n > 150 and together == 0
    n, together = with_partner(scenes["uniform_test"], lead)
    # Without bias a kind comes with any given other one in about 14 % of the pictures; 0.25 is 4 errors away.
    assert together / n < 0.25


def test_held_out_pairs_appear_in_novel_test_only(scenes):
    for split in SPLITS:
        shown = [any((t["color"], t["kind"]) in HELD_OUT for t in s["objects"]) for s in scenes[split]]
        assert all(shown) if split == "novel_test" else not any(shown)
    seen = {(t["color"], t["kind"]) for s in scenes["novel_test"] for t in s["objects"]}
    assert set(HELD_OUT) <= seen
    train = {(t["color"], t["kind"]) for s in scenes["train"] for t in s["objects"]}
    assert len(train) == len(KINDS) * len(COLORS) - len(HELD_OUT)


def test_all_numbers_of_objects_occur(scenes):
    numbers = [len(s["objects"]) for s in scenes["train"]]
    assert all(numbers.count(n) > COUNT // 10 for n in range(1, 6))


def test_graph_hash_sees_objects_and_places_only():
    scene = sample(7, "train", 3)
    turned = {"noise": 1, "tone": 0, "objects": scene["objects"][::-1]}
    assert graph_hash(turned) == graph_hash(scene)
    x0, y0, x1, y1 = scene["objects"][0]["box"]
    moved = [{**scene["objects"][0], "box": [x0 + 1, y0, x1 + 1, y1]}, *scene["objects"][1:]]
    assert graph_hash({**scene, "objects": moved}) != graph_hash(scene)


def test_statistics_by_hand():
    pictures = [["ball", "ball", "cube"], ["cube"], ["cube", "star", "ball"]]
    stats = statistics({"objects": [{"kind": k} for k in kinds]} for kinds in pictures)
    assert stats["images"]["ball"] == 2 and stats["images"]["cube"] == 3 and stats["images"]["moon"] == 0
    assert stats["pairs"]["ball"]["cube"] == stats["pairs"]["cube"]["ball"] == 2
    assert stats["pairs"]["star"]["cube"] == 1 and stats["pairs"]["ball"]["ball"] == 0
