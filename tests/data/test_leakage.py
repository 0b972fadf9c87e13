import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sightline.data.questions.leakage import find_leaks, graph_key
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


def leaks(tmp_path, entries):
    found = find_leaks(items(tmp_path / "raw", entries), 10**6)
    return [(leak.dropped, leak.kept, leak.reason) for leak in found]


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


def test_flat_pictures_are_innocent(tmp_path):
    shades = ("train", 60), ("train", 120), ("train", 235), ("test", 240)
    flat = [(split, encoded(Image.new("RGB", (64, 64), (shade,) * 3)), {}) for split, shade in shades]
    assert leaks(tmp_path, flat) == []


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
