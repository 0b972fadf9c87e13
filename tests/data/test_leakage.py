import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from sightline.data.questions.leakage import (
    THUMBNAIL_DISTANCE,
    find_leaks,
    fingerprint,
    graph_key,
    near_pairs,
)
from sightline.data.shards import Items, ShardWriter


def scenery(seed: int) -> Image.Image:
    """A picture with the smooth structure of a photo: blurred noise over a gradient."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(
        (256, 192), Image.Resampling.BICUBIC
    )
    return coarse.filter(ImageFilter.GaussianBlur(2))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def items(folder, entries) -> Items:
    folder.mkdir(exist_ok=True)
    with ShardWriter(folder, 2**22) as writer:
        for n, (split, image, extra) in enumerate(entries):
            writer.add({"id": f"i{n}", "split": split, "captions": ["a dog"], **extra}, image)
    return Items(folder)


def leaks(tmp_path, entries, distance=4):
    return [
        (leak.dropped, leak.kept, leak.reason)
        for leak in find_leaks(items(tmp_path / "raw", entries), 10**6, distance)
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: encoded(image, "JPEG", quality=50),
        lambda image: encoded(image.resize((128, 96), Image.Resampling.BICUBIC)),
        lambda image: encoded(Image.eval(image, lambda value: min(255, value + 5))),
    ],
)
def test_recompressed_resized_and_brightened_copies_are_found(tmp_path, change):
    entries = [("train", encoded(scenery(n)), {}) for n in range(20)]
    entries.append(("test", change(scenery(7)), {}))
    assert leaks(tmp_path, entries) == [(7, 20, "same_picture")]


def test_train_gives_way_to_val_and_val_to_test(tmp_path):
    one, two = encoded(scenery(1)), encoded(scenery(2))
    entries = [
        ("test", one, {}),
        ("train", one, {}),
        ("val", two, {}),
        ("train", two, {}),
        ("shift_val", one, {}),
    ]
    assert leaks(tmp_path, entries) == [(1, 0, "same_bytes"), (3, 2, "same_bytes"), (4, 0, "same_bytes")]


def test_copies_within_a_split_stay(tmp_path):
    one = encoded(scenery(1))
    assert leaks(tmp_path, [("train", one, {}), ("train", one, {}), ("test", encoded(scenery(2)), {})]) == []


def test_flat_pictures_of_other_brightness_are_innocent(tmp_path):
    entries = [("train", encoded(Image.new("RGB", (64, 64), (shade,) * 3)), {}) for shade in (0, 60, 120)]
    entries.append(("test", encoded(Image.new("RGB", (64, 64), (240,) * 3)), {}))
    hashes = {int(fingerprint(np.full((64, 64, 3), shade, np.uint8))[0]) for shade in (0, 60, 120, 240)}
    assert len(hashes) == 1  # the hash alone would have dropped them all
    assert leaks(tmp_path, entries) == []


def test_equal_scene_graphs_leak_whatever_the_order(tmp_path):
    things = [
        {"kind": "cube", "color": "red", "box": [1, 2, 3, 4], "visible": 1.0},
        {"kind": "ball", "box": [5, 6, 7, 8]},
    ]
    entries = [
        ("train", encoded(scenery(1)), {"scene": {"objects": things}}),
        ("train", encoded(scenery(2)), {"scene": {"objects": things[:1]}}),
        ("test", encoded(scenery(3)), {"scene": {"objects": things[::-1]}}),
    ]
    assert leaks(tmp_path, entries) == [(0, 2, "same_scene")]
    assert graph_key({"objects": things}) != graph_key({"objects": things[:1]})


def test_items_without_a_picture_are_passed_over(tmp_path):
    assert leaks(tmp_path, [("train", None, {}), ("test", encoded(scenery(1)), {})]) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 7))
def test_pairs_equal_brute_force(seed, distance):
    rng = np.random.default_rng(seed)
    hashes_N = rng.integers(0, 2**63, 12, dtype=np.uint64)
    for n in range(12, 40):
        bits = rng.integers(0, 64, rng.integers(0, 10))
        flips = np.bitwise_or.reduce(
            np.left_shift(np.uint64(1), bits.astype(np.uint64)), initial=np.uint64(0)
        )
        hashes_N = np.append(hashes_N, hashes_N[rng.integers(n)] ^ flips)
    groups_N = rng.integers(0, 3, len(hashes_N))
    expected = [
        (a, b)
        for a in range(len(hashes_N))
        for b in range(a + 1, len(hashes_N))
        if groups_N[a] != groups_N[b] and int(hashes_N[a] ^ hashes_N[b]).bit_count() <= distance
    ]
    assert list(near_pairs(hashes_N, groups_N, distance)) == expected


def test_no_items_no_pairs():
    assert list(near_pairs(np.zeros(0, np.uint64), np.zeros(0, np.int8), 4)) == []


def test_threshold_leaves_room_on_both_sides():
    # Copies (JPEG 50, half size) differ by a few levels; unrelated pictures by tens: the bound lies between.
    image = scenery(3)
    copy = Image.open(io.BytesIO(encoded(image, "JPEG", quality=50))).convert("RGB").resize((128, 96))
    thumbnails = [fingerprint(np.asarray(picture))[1].astype(int) for picture in (image, copy, scenery(4))]
    assert np.abs(thumbnails[0] - thumbnails[1]).mean() < THUMBNAIL_DISTANCE
    assert np.abs(thumbnails[0] - thumbnails[2]).mean() > THUMBNAIL_DISTANCE * 2
