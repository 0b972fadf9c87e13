"""COCO captions: archives and folders give the same items; the splits come from hashes."""

import io
import json
import zipfile

import pytest

from sightline.data.intake.splits import hash_share
from sightline.data.sources import coco
from sightline_lab.faults.fault_server import fault_server
from tests.support.sources import balanced, jpeg, params, read


def annotations(numbers, first=0):
    return {
        "images": [{"id": n, "file_name": f"{n:012d}.jpg"} for n in numbers],
        "annotations": [
            {"id": first + 10 * n + k, "image_id": n, "caption": f" A cat {n} {k}.\n"}
            for k in (2, 0, 1)
            for n in numbers
        ],
    }


TRAIN, VAL = range(1, 31), range(100, 105)


def members():
    return {
        "annotations/captions_train2017.json": json.dumps(annotations(TRAIN)).encode(),
        "annotations/captions_val2017.json": json.dumps(annotations(VAL)).encode(),
        **{f"train2017/{n:012d}.jpg": jpeg(n) for n in TRAIN},
        **{f"val2017/{n:012d}.jpg": jpeg(n) for n in VAL},
    }


def packed(files, prefix):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, data in files.items():
            if name.startswith(prefix):
                file.writestr(name, data)
    return out.getvalue()


def archives(files):
    return {
        "annotations/annotations_trainval2017.zip": packed(files, "annotations/"),
        "zips/train2017.zip": packed(files, "train2017/"),
        "zips/val2017.zip": packed(files, "val2017/"),
    }


def unpack(files, folder):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "home"))


def folder_build(files, tmp_path, name="out", **changes):
    unpack(files, tmp_path / f"in-{name}")
    config = coco.build(params("coco", path=str(tmp_path / f"in-{name}"), **changes), 7, tmp_path / name)
    assert balanced(config)
    return config, *read(tmp_path / name)


def test_splits_and_captions(tmp_path):
    config, items, rejected = folder_build(members(), tmp_path)
    assert rejected == [] and config["rows"] == {"in": 105, "accepted": 105, "rejected": 0, "unused": 0}
    assert {items[str(n)]["split"] for n in VAL} == {"test"}
    val = {n for n in TRAIN if items[str(n)]["split"] == "val"}
    assert val == {n for n in TRAIN if hash_share(str(n)) < 0.2} and 0 < len(val) < 15
    assert items["7"]["captions"] == ["A cat 7 0.", "A cat 7 1.", "A cat 7 2."]


def test_archives_folders_and_downloads_give_the_same_bytes(tmp_path):
    folder_build(members(), tmp_path, "folders")
    unpack(archives(members()), tmp_path / "nested")
    coco.build(params("coco", path=str(tmp_path / "nested")), 7, tmp_path / "zips")
    flat = {name.rsplit("/")[-1]: data for name, data in archives(members()).items()}
    unpack(flat, tmp_path / "flat")
    coco.build(params("coco", path=str(tmp_path / "flat")), 7, tmp_path / "flat-zips")
    with fault_server() as server:
        server.files = {"/" + name: data for name, data in archives(members()).items()}
        coco.build(params("coco", base_url=server.url), 7, tmp_path / "web")
    for path in (tmp_path / "folders").iterdir():
        for other in ("zips", "flat-zips", "web"):
            assert path.read_bytes() == (tmp_path / other / path.name).read_bytes()


def test_the_order_of_the_annotations_does_not_matter(tmp_path):
    files = members()
    folder_build(files, tmp_path, "a")
    turned = json.loads(files["annotations/captions_train2017.json"])
    turned = {name: rows[::-1] for name, rows in turned.items()}
    folder_build(files | {"annotations/captions_train2017.json": json.dumps(turned).encode()}, tmp_path, "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_max_items(tmp_path):
    config, items, _ = folder_build(members(), tmp_path, max_items=2)
    assert config["items"] == {"test": 2, "train": 2, "val": 2}
    assert config["rows"] == {"in": 105, "accepted": 18, "rejected": 0, "unused": 87} and len(items) == 6


def test_faults_are_recorded(tmp_path):
    files = members()
    bad = annotations(VAL)
    bad["annotations"] += [
        {"id": 1, "image_id": 999, "caption": "of nothing"}, {"id": 2, "image_id": 100, "caption": " "}
    ]  # fmt: skip
    bad["images"][4]["file_name"] = "../../secret.jpg"
    files["annotations/captions_val2017.json"] = json.dumps(bad).encode()
    files["val2017/000000000101.jpg"] = jpeg()[:100]
    del files["val2017/000000000102.jpg"]
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    config, items, rejected = folder_build(files, tmp_path)
    assert {record["id"]: record["reason"] for record in rejected} == {
        "999": "no_image", "100": "empty_text", "101": "image_truncated", "102": "image_missing",
        "104": "image_outside",
    }  # fmt: skip
    assert config["rows"]["rejected"] == 2 + 9 and not {"101", "102", "104"} & items.keys()


def test_unusable_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="coco needs one of them"):
        params("coco")
    with pytest.raises(ValueError, match="has no COCO file"):
        coco.build(params("coco", path=str(tmp_path)), 7, tmp_path / "b")
    only = {"zips/val2017.zip": archives(members())["zips/val2017.zip"]}
    with pytest.raises(ValueError, match="captions_val2017.json was not found"):
        folder_build(only, tmp_path, "only")
    for number, data in enumerate([b"{", b"[]", b'{"images": [{}], "annotations": []}']):
        files = members() | {"annotations/captions_val2017.json": data}
        with pytest.raises(ValueError, match=r"captions_val2017\.json(:| is no| is not a COCO file)"):
            folder_build(files, tmp_path, f"c{number}")
