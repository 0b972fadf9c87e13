"""Flickr8k: the official splits, five captions, and an account of every caption row."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from sightline.data import fetch
from sightline.data.archives import ArchiveError
from sightline.data.http_connection import FetchError
from sightline.data.shards import Items
from sightline.data.sources import flickr8k
from sightline_lab.faults.fault_server import fault_server
from tests.support.sources import balanced, jpeg, params, read

REAL = Path(__file__).parents[2].parent / "shared" / "flickr8k-128"


def packed(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


def archives(photos=None, tokens=None, **listings):
    photos = photos or {f"{n}.jpg": jpeg(n) for n in range(6)}
    if tokens is None:
        keys = [f"{n}.jpg" for n in range(6)] + ["gone.jpg.1"]
        tokens = "".join(f"{key}#{k}\tA  dog of {key} , number {k} .\n" for key in keys for k in range(5))
    lists = {"train": "0.jpg\n1.jpg\n2.jpg\n", "dev": "3.jpg\n", "test": "4.jpg\n"} | listings
    return {
        "/Flickr8k_Dataset.zip": packed(
            {f"Flicker8k_Dataset/{name}": data for name, data in photos.items()}
            | {"__MACOSX/Flicker8k_Dataset/._0.jpg": b"mac", "Flicker8k_Dataset/.DS_Store": b"mac"}
        ),
        "/Flickr8k_text.zip": packed(
            {"Flickr8k.token.txt": tokens, "readme.txt": "x", "__MACOSX/._Flickr8k.token.txt": b"mac"}
            | {f"Flickr_8k.{name}Images.txt": text for name, text in lists.items()}
        ),
    }


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.001)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "home"))
    with fault_server() as server:
        server.files = archives()
        yield server


def build(server, out, **changes):
    pins = {path[1:]: "sha256:" + hashlib.sha256(data).hexdigest() for path, data in server.files.items()}
    chosen = params("flickr8k", base_url=server.url, **{"checksums": pins, **changes})
    return flickr8k.build(chosen, 7, out)


def test_splits_captions_and_counts(server, tmp_path):
    config = build(server, tmp_path / "out")
    items, rejected = read(tmp_path / "out")
    assert {id: item["split"] for id, item in items.items()} == {
        "0": "train", "1": "train", "2": "train", "3": "val", "4": "test"
    }  # fmt: skip
    assert items["3"]["captions"] == [f"A dog of 3.jpg , number {k} ." for k in range(5)]
    assert Items(tmp_path / "out").image_bytes(items["3"]) == jpeg(3)
    assert rejected == [] and config["rows"] == {"in": 25, "accepted": 25, "rejected": 0, "unused": 0}
    assert config["items"] == {"train": 3, "val": 1, "test": 1}


def test_two_runs_give_the_same_bytes_and_download_once(server, tmp_path):
    for name in ("a", "b"):
        build(server, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert len(server.requests) == 2


def test_max_items_per_split(server, tmp_path):
    config = build(server, tmp_path / "out", max_items=2)
    assert config["items"] == {"train": 2, "val": 1, "test": 1}
    assert config["rows"] == {"in": 25, "accepted": 20, "rejected": 0, "unused": 5}


def test_broken_photos_and_rows_are_recorded(server, tmp_path):
    photos = {f"{n}.jpg": jpeg(n) for n in range(6)} | {"1.jpg": jpeg(1)[:300], "2.jpg": b"<html>"}
    tokens = "".join(f"{n}.jpg#{k}\tA dog .\n" for n in range(6) for k in range(5) if n != 4)
    server.files = archives(photos, tokens + "no tab here\r\n0.jpg#x\tbad number\n\n5.jpg#9\t  \n")
    config = build(server, tmp_path / "out")
    items, rejected = read(tmp_path / "out")
    assert sorted(items) == ["0", "3"]
    assert [(record["id"], record["reason"]) for record in rejected] == [
        ("line 26", "bad_row"), ("line 27", "bad_row"), ("line 28", "bad_row"),
        ("4.jpg", "no_captions"), ("1", "image_truncated"), ("2", "image_format"),
    ]  # fmt: skip
    assert config["rows"] == {"in": 24, "accepted": 10, "rejected": 14, "unused": 0}


def test_a_photo_listed_in_two_splits_is_used_once(server, tmp_path):
    server.files = archives(test="0.jpg\n4.jpg\n")
    config = build(server, tmp_path / "out")
    items, _ = read(tmp_path / "out")
    assert items["0"]["split"] == "train" and config["rejected"] == {"no_captions": 1}


def test_a_listed_photo_without_photo_and_captions(server, tmp_path):
    server.files = archives(dev="3.jpg\nnever.jpg\n")
    assert build(server, tmp_path / "out")["rejected"] == {"no_captions": 1}


def test_flaky_downloads_and_wrong_pins(server, tmp_path):
    server.faults = [{"cut": 100}, {"status": 503}, {"cut": 50}, {}, {"cut": 1000}]
    assert balanced(build(server, tmp_path / "out"))
    with pytest.raises(FetchError, match="check data.checksums"):
        build(server, tmp_path / "b", checksums={"Flickr8k_text.zip": "md5:" + "0" * 32})


def test_a_wrong_archive_is_named(server, tmp_path):
    server.files["/Flickr8k_text.zip"] = packed({"other.txt": "x"})
    with pytest.raises(ArchiveError, match=r"Flickr8k_text\.zip has no Flickr_8k\.trainImages\.txt"):
        build(server, tmp_path / "out")
    server.files["/Flickr8k_text.zip"] = b"<html>moved</html>"
    with pytest.raises(ArchiveError, match="no complete zip archive"):
        build(server, tmp_path / "b")


@pytest.mark.skipif(
    not REAL.is_dir(), reason=f"THE REAL FLICKR8K ARCHIVES ARE NOT AT {REAL}: not tested with them"
)
def test_the_real_archives(tmp_path):
    pins = {
        "Flickr8k_Dataset.zip": "sha256:1737fa3c6c47869d34988abb5e8e919e3a823d7870d9c963ce24b9dbf6b461d2",
        "Flickr8k_text.zip": "sha256:88bc80ddff8bd873430ed85ae886494b99ac0f1f1aa4c9609bf1f1b70a2f2ce2",
    }
    config = flickr8k.build(
        params("flickr8k", base_url=REAL.as_uri(), checksums=pins, image_side=256, shard_mb=64), 7, tmp_path
    )
    assert config["items"] == {"train": 6000, "val": 1000, "test": 1000}
    assert config["rows"] == {"in": 40000, "accepted": 40000, "rejected": 0, "unused": 0}
    _, rejected = read(tmp_path)
    assert rejected == []
