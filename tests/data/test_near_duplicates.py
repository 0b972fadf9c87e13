"""Copies of a photo are found, products that look alike on white are not."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from sightline.data.questions import near_duplicates
from sightline.data.questions.leakage import find_leaks
from sightline.data.questions.near_duplicates import candidates, compare, content, standardised, thumbnail
from sightline.data.shards import Items, ShardWriter
from tests.support.products import shoe


def encoded(picture: Image.Image, quality: int = 90) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def on_more_white(picture: Image.Image) -> Image.Image:
    wide = Image.new("RGB", (picture.width + 40, picture.height + 10), "white")
    wide.paste(picture, (25, 5))
    return wide


COPIES = {
    "re-encoded": lambda one: Image.open(io.BytesIO(encoded(one, 50))),
    "half the size": lambda one: one.resize((80, 80), Image.Resampling.BICUBIC),
    "enlarged": lambda one: one.resize((211, 211), Image.Resampling.BICUBIC),
    "cropped": lambda one: one.crop((4, 7, 155, 152)),
    "darker": lambda one: ImageEnhance.Brightness(one).enhance(0.88),
    "on more white": on_more_white,
    "all of it": lambda one: ImageEnhance.Brightness(one.crop((3, 2, 157, 158)).resize((120, 121))).enhance(
        0.94
    ),
}


def same(one: Image.Image, other: Image.Image) -> bool:
    return compare(content(np.asarray(one)), content(np.asarray(other))).same()


def leaks(folder, entries):
    folder.mkdir()
    with ShardWriter(folder, 2**22) as writer:
        for name, split, picture in entries:
            writer.add({"id": name, "split": split, "captions": ["a shoe"]}, picture, "jpg")
    items = Items(folder)
    found = find_leaks(items, 10**6)
    return {(items[leak.dropped]["id"], items[leak.kept]["id"], leak.reason) for leak in found}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_among_look_alikes(tmp_path, change):
    entries = [(f"d{n}", "train", encoded(shoe(n, n))) for n in range(12)]
    entries += [("copy", "test", encoded(COPIES[change](shoe(5, 5)).convert("RGB"), 80))]
    assert leaks(tmp_path / "raw", entries) == {("d5", "copy", "same_picture")}


def test_look_alikes_on_white_stay(tmp_path):
    train = [(f"t{n}", "train", encoded(shoe(n, n))) for n in range(40)]
    other_colors = [(f"c{n}", "val", encoded(shoe(n, n + 1))) for n in range(20)]
    other_designs = [(f"e{n}", "test", encoded(shoe(n + 100, n))) for n in range(20)]
    pictures = [picture for _, _, picture in train + other_colors + other_designs]
    bytes_ND = np.stack([thumbnail(np.asarray(Image.open(io.BytesIO(one)))) for one in pictures])
    likeness_NN = standardised(bytes_ND[:40]) @ standardised(bytes_ND[40:]).T
    assert np.median(likeness_NN.max(axis=1)) > 0.97  # they do look alike
    assert leaks(tmp_path / "raw", train + other_colors + other_designs) == set()


def test_a_detail_tells_two_pictures_apart():
    with_logo = shoe(3, 0)
    with_logo.paste((250, 250, 250), (60, 95, 72, 107))
    assert same(shoe(3, 0), shoe(3, 0)) and not same(shoe(3, 0), with_logo)


def test_a_grey_and_a_black_one_differ():
    # A gain between two pictures is light; this much is another colour.
    mask = np.asarray(shoe(4, 0)).min(axis=2, keepdims=True) < 240
    grey, black = (
        Image.fromarray(np.where(mask, level, 255).astype(np.uint8).repeat(3, 2)) for level in (130, 20)
    )
    assert same(grey, grey) and not same(grey, black)


def test_the_order_of_items_changes_nothing(tmp_path):
    entries = [(f"d{n}", "train", encoded(shoe(n, n))) for n in range(10)]
    entries += [(f"copy{n}", ("val", "test")[n % 2], encoded(shoe(n, n), 60)) for n in range(4)]
    found = leaks(tmp_path / "one", entries)
    assert found == {(f"d{n}", f"copy{n}", "same_picture") for n in range(4)}
    order = np.random.default_rng(0).permutation(len(entries))
    assert leaks(tmp_path / "other", [entries[n] for n in order]) == found


def test_candidates_equal_brute_force(monkeypatch):
    rng = np.random.default_rng(1)
    bytes_ND = rng.integers(0, 256, (90, 300), dtype=np.uint8)
    for row in range(30, 90):  # near others, in any split
        noise_D = rng.integers(-30, 31, 300)
        bytes_ND[row] = np.clip(bytes_ND[rng.integers(row)].astype(int) + noise_D, 0, 255)
    ranks_N = rng.integers(0, 3, 90)
    likeness_NN = standardised(bytes_ND) @ standardised(bytes_ND).T
    expected = set()
    for one in range(90):
        later = [other for other in range(90) if ranks_N[other] > ranks_N[one]]
        nearest = sorted(later, key=lambda other: -likeness_NN[one, other])[: near_duplicates.NEIGHBOURS]
        expected |= {(one, other) for other in nearest if likeness_NN[one, other] >= near_duplicates.LIKENESS}
    assert expected and set(candidates(bytes_ND, ranks_N)) == expected
    # Sorted into lists, all of which are read, the search is exact too.
    monkeypatch.setattr(near_duplicates, "EXACT_UP_TO", 10)
    monkeypatch.setattr(near_duplicates, "PROBED", 10**6)
    assert set(candidates(bytes_ND, ranks_N)) == expected


def test_lists_find_copies_among_many(monkeypatch):
    monkeypatch.setattr(near_duplicates, "EXACT_UP_TO", 1000)
    rng = np.random.default_rng(2)
    bytes_ND = rng.integers(0, 256, (6000, 300), dtype=np.uint8)
    bytes_ND[:300] = np.clip(bytes_ND[3000:3300].astype(int) + rng.integers(-12, 13, (300, 300)), 0, 255)
    ranks_N = np.repeat([0, 2], 3000)
    found = set(candidates(bytes_ND, ranks_N))
    assert {(n, n + 3000) for n in range(300)} <= found


def test_memory_grows_with_the_number_of_pictures():
    # Candidates of n pictures of which all are alike: a table of all pairs would take n^2 bytes.
    def peak(n: int) -> int:
        bytes_ND = np.tile(np.arange(300, dtype=np.uint8), (n, 1))
        ranks_N = np.repeat([0, 2], n // 2)
        tracemalloc.start()
        count = sum(1 for _ in candidates(bytes_ND, ranks_N))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == n // 2 * near_duplicates.NEIGHBOURS
        return top

    block = near_duplicates.BLOCK * 300 * 4 * 4  # a block of thumbnails as floats, and copies of it
    assert peak(4 * near_duplicates.BLOCK) < block + 64 * 4 * near_duplicates.BLOCK
