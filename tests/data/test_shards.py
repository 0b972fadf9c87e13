"""Shards: what is written is what is read, to the byte; damage is named."""

import json
import re
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.data import images
from sightline.data.shards import Items, ShardWriter
from sightline.data.sources import scenes


def write(folder, items, shard_bytes=10_000):
    with ShardWriter(folder, shard_bytes) as writer:
        for item, image in items:
            writer.add(dict(item), image, "jpg")
        writer.reject("bad\ud800", "no_image", "a lone surrogate must not break the record")
    return writer


def sample(count=20):
    splits = ["train", "val", "train"]
    return [
        ({"id": f"item{n}", "split": splits[n % 3], "captions": [f"café {n}\u2028"]}, bytes([n]) * (n * 100))
        for n in range(count)
    ]


def test_round_trip_and_counts(tmp_path):
    writer = write(tmp_path, sample())
    items = Items(tmp_path)
    assert (
        len(items) == 20 and writer.accepted == {"train": 13, "val": 7} and writer.rejected == {"no_image": 1}
    )
    assert items.split("val").tolist() == [1, 4, 7, 10, 13, 16, 19] and items.split("nowhere").tolist() == []
    for n, (item, image) in enumerate(sample()):
        found = items[n]
        assert items.image_bytes(found) == image
        assert {key: found[key] for key in item} == item
    rejected = json.loads((tmp_path / "rejected.jsonl").read_text())
    assert rejected["reason"] == "no_image"


def test_people_see_a_scene_drawn_again_and_a_photo_as_it_is(tmp_path):
    scene = scenes.render_scene(7, "test", 0)
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    with ShardWriter(tmp_path, 10**6) as writer:
        item = {"id": "scene", "split": "test", "captions": scene[1], "scene": scene[0]}
        writer.add(item, scene[2], "png")
        writer.add({"id": "photo", "split": "test", "captions": []}, images.encode(photo)[0], "png")
    items = Items(tmp_path)
    drawn, stored = items[0], items[1]
    assert [items.displayed(drawn, side).shape[0] for side in (200, 256, 300, 640)] == [200, 256, 300, 512]
    assert items.image(drawn).shape == (64, 64, 3) and items.image_bytes(drawn) == scene[2]
    np.testing.assert_array_equal(items.displayed(stored, 640), photo)
    assert items.displayed(stored, 60).shape == (45, 60, 3)
    read = items.image(stored)
    np.testing.assert_array_equal(items.displayed(stored, 60, read), items.displayed(stored, 60))
    np.testing.assert_array_equal(
        items.displayed(drawn, 256, items.image(drawn)), items.displayed(drawn, 256)
    )


def test_tars_are_plain_split_and_without_times_or_owners(tmp_path):
    write(tmp_path, sample(), shard_bytes=5000)
    shards = sorted(tmp_path.glob("*.tar"))
    assert len(shards) > 3 and all(shard.stat().st_size % tarfile.RECORDSIZE == 0 for shard in shards)
    members = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (
                    0,
                    0,
                    0,
                    "",
                    0o644,
                )
                members.append((member.name, tar.extractfile(member).read()))
        payload = sum(512 + -(-len(data) // 512) * 512 for name, data in members[-2:])
        assert shard.stat().st_size <= 5000 + payload + tarfile.RECORDSIZE
    assert members[::2] == [(f"item{n}.jpg", image) for n, (_, image) in enumerate(sample())]
    assert [(name, json.loads(data)) for name, data in members[1::2]] == [
        (f"item{n}.json", {"title": "", **item}) for n, (item, _) in enumerate(sample())
    ]


def test_two_runs_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, sample())
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.binary(max_size=3000))
    )
)
def test_any_id_and_bytes_survive(rows):
    with tempfile.TemporaryDirectory() as folder:
        items = [({"id": id, "split": "train", "captions": [id]}, image) for id, image in rows]
        write(Path(folder), items, shard_bytes=4096)
        read = Items(Path(folder))
        assert [(read[n]["id"], read.image_bytes(read[n])) for n in range(len(read))] == rows
        for shard in Path(folder).glob("*.tar"):
            with tarfile.open(shard) as tar:
                assert all(re.fullmatch(r"[\w-]+\.(jpg|json)", name) for name in tar.getnames())


def test_an_item_without_a_picture(tmp_path):
    write(tmp_path, [({"id": "a", "split": "train", "captions": ["x"]}, None)])
    items = Items(tmp_path)
    assert items[0]["image"] is None and [path.name for path in tmp_path.glob("*.tar")] == ["texts-00000.tar"]
    with tarfile.open(tmp_path / "texts-00000.tar") as tar:
        assert tar.getnames() == ["a.json"]
    with pytest.raises(ValueError, match="'a' has no picture"):
        items.image_bytes(items[0])


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write(tmp_path, [({"id": "a", "split": "train", "captions": [], "score": float("nan")}, None)])


def test_a_writer_never_adds_to_what_is_there(tmp_path):
    write(tmp_path, sample(2))
    with pytest.raises(FileExistsError):
        ShardWriter(tmp_path, 1000)


def test_damage_is_named(tmp_path):
    write(tmp_path, sample(5))
    path = tmp_path / "items.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], b'{"id": 7', *lines[3:]]))
    items = Items(tmp_path)
    assert items[1]["id"] == "item1"
    with pytest.raises(ValueError, match=r"items\.jsonl, line 3: not readable as JSON.*doctor --repair"):
        items[2]
    path.write_bytes(b"\n".join([b"[1]", *lines[1:]]))
    with pytest.raises(ValueError, match=r"items\.jsonl, line 1: expected an object"):
        Items(tmp_path)[0]
    path.write_bytes(b"\n".join(lines)[:-20])
    with pytest.raises(ValueError, match=r"items\.jsonl, line 5: cut off"):
        Items(tmp_path)


def test_a_wrong_offset_or_a_damaged_shard_is_named(tmp_path):
    write(tmp_path, sample(5))
    items = Items(tmp_path)
    wrong = items[3]
    wrong["image"]["offset"] += 512
    with pytest.raises(ValueError, match=r"'item3'.*images-00000\.tar has no picture of 300 bytes"):
        items.image_bytes(wrong)
    wrong["image"]["offset"] = 10**9
    with pytest.raises(ValueError, match=r"'item3'.*images-00000\.tar ends at"):
        items.image_bytes(wrong)
    (tmp_path / "images-00000.tar").unlink()
    with pytest.raises(ValueError, match=r"images-00000\.tar is missing.*doctor --repair"):
        Items(tmp_path).image_bytes(items[3])
    with pytest.raises(ValueError, match=r"items\.jsonl is missing"):
        Items(tmp_path / "nowhere")
    with pytest.raises(IndexError, match="no item 5"):
        items[5]
