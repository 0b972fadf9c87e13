"""Every source, over one small data set written in its format: the same items, captions, splits and pictures;
and what is hostile or broken is refused by name."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet as pq
import pytest
import webdataset

from sightline.core import registry
from sightline.data.archives import ArchiveError
from sightline.data.intake import usable
from sightline.data.intake.splits import NAMES
from sightline.data.shards import Items
from sightline_lab.faults import dear_pictures
from sightline_lab.faults.fault_server import fault_server
from tests.support.sources import NO_COLUMNS, balanced, jpeg, params, read

ROOT = Path(__file__).parents[2]
SPLITS = {"train": 6, "val": 2, "test": 2}
DATA = {  # stem -> (split, captions, picture)
    f"photo_{split}_{n}": (split, [f"A dog {n} of {split}.", f"Größe {n}, a cat."], jpeg(hash_seed))
    for hash_seed, (split, n) in enumerate((split, n) for split, size in SPLITS.items() for n in range(size))
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "home"))


def photos(folder):
    folder.mkdir(parents=True)
    for stem, (_, _, data) in DATA.items():
        (folder / f"{stem}.jpg").write_bytes(data)
    return folder


def rows():
    """(stem, split, caption), one caption a row."""
    return [(stem, split, text) for stem, (split, texts, _) in DATA.items() for text in texts]


def pictures_and_texts(folder):
    """The first form of folder: train/photo.jpg beside train/photo.txt."""
    for stem, (split, texts, data) in DATA.items():
        place = folder / {"val": "validation"}.get(split, split)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{stem}.jpg").write_bytes(data)
        (place / f"{stem}.txt").write_text("\n".join(texts), encoding="utf-8")
    return {"path": str(folder)}


def pictures_and_json(folder):
    pictures_and_texts(folder)
    for path in folder.rglob("*.txt"):
        path.with_suffix(".json").write_text(json.dumps({"captions": path.read_text("utf-8").split("\n")}))
        path.unlink()
    return {"path": str(folder)}


def imagefolder(folder):
    pictures_and_texts(folder)
    for place in list(folder.iterdir()):
        lines = [
            json.dumps({"file_name": f"{path.stem}.jpg", "text": path.read_text("utf-8").split("\n")})
            for path in sorted(place.glob("*.txt"))
        ]
        (place / "metadata.jsonl").write_text("\n".join(lines))
        for path in place.glob("*.txt"):
            path.unlink()
    return {"path": str(folder)}


def table(folder, ending=".csv", delimiter=",", encoding="utf-8"):
    photos(folder / "pics")
    lines = [["file", "split", "caption"], *([f"{stem}.jpg", split, text] for stem, split, text in rows())]
    quoted = [delimiter.join(f'"{cell}"' for cell in line) for line in lines]
    (folder / f"items{ending}").write_text("\r\n".join(quoted), encoding=encoding)
    return {"path": str(folder / f"items{ending}"), "pictures": str(folder / "pics")}


def records():
    return [
        {"image": {"bytes": data, "path": None}, "captions": texts, "split": split, "id": stem}
        for stem, (split, texts, data) in DATA.items()
    ]


def parquet(folder):
    folder.mkdir()
    pq.write_table(pyarrow.Table.from_pylist(records()), folder / "a.parquet")
    return {"path": str(folder / "a.parquet")}


def hub_files(folder):
    """As the hub lays them out: data/train-00000-of-00001.parquet."""
    (folder / "data").mkdir(parents=True)
    for split in SPLITS:
        chosen = [
            {k: row[k] for k in ("image", "captions", "id")} for row in records() if row["split"] == split
        ]
        name = folder / "data" / f"{'validation' if split == 'val' else split}-00000-of-00001.parquet"
        pq.write_table(pyarrow.Table.from_pylist(chosen), name)
    return {"path": str(folder)}


def saved_to_disk(folder):
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "captions": datasets.List(datasets.Value("string")),
            "id": datasets.Value("string"),
        }
    )
    parts = {
        {"val": "validation"}.get(split, split): datasets.Dataset.from_list(
            [{k: row[k] for k in ("image", "captions", "id")} for row in records() if row["split"] == split],
            features=features,
        )
        for split in SPLITS
    }
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return {"path": str(folder)}


def tar(path, members):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def shards(folder):
    folder.mkdir()
    for split in SPLITS:
        members = []
        for stem, (of, texts, data) in DATA.items():
            if of == split:
                members += [(f"{stem}.jpg", data), (f"{stem}.txt", "\n".join(texts).encode())]
        tar(folder / f"{split}-000.tar", members)
    return {"path": str(folder)}


def shards_with_json(folder):
    folder.mkdir()
    members = []
    for stem, (split, texts, data) in DATA.items():
        members += [
            (f"{stem}.jpg", data),
            (f"{stem}.json", json.dumps({"split": split, "captions": texts}).encode()),
        ]
    tar(folder / "all.tar", members)
    return {"path": str(folder / "*.tar")}


def our_shards(folder):
    from sightline.data.sources import table as source

    source.build(params("table", **table(folder.with_name("table"))), 7, folder)
    for name in ("items.jsonl", "rejected.jsonl"):
        (folder / name).unlink()
    return {"path": str(folder)}


def karpathy(name, **more):
    def write(folder):
        photos(folder / "Images" / more.get("filepath", ""))
        entries = [
            {
                "filename": f"{stem}.jpg",
                "split": split,
                "sentences": [{"raw": text} for text in texts],
                **more,
            }
            for stem, (split, texts, _) in DATA.items()
        ]
        (folder / name).write_text(json.dumps({"images": entries}))
        return {"path": str(folder)}

    return write


def listings(folder):
    for split, part in (("train", "train"), ("val", "dev"), ("test", "test")):
        names = [f"{stem}.jpg" for stem, (of, _, _) in DATA.items() if of == split]
        (folder / f"Flickr_8k.{part}Images.txt").write_text("\n".join(names))


def token(folder, name="Flickr8k.token.txt"):
    photos(folder / "Flicker8k_Dataset")
    lines = [
        f"{stem}.jpg#{n}\t{text}" for stem, (_, texts, _) in DATA.items() for n, text in enumerate(texts)
    ]
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    listings(folder)
    return {"path": str(folder)}


def kaggle(folder):
    photos(folder / "Images")
    lines = ["image,caption", *(f'{stem}.jpg,"{text}"' for stem, _, text in rows())]
    (folder / "captions.txt").write_text("\n".join(lines), encoding="utf-8")
    listings(folder)
    return {"path": str(folder)}


def results_csv(folder):
    photos(folder / "flickr30k_images")
    lines = ["image_name| comment_number| comment", *(f"{stem}.jpg| 0| {text}" for stem, _, text in rows())]
    (folder / "results.csv").write_text("\n".join(lines), encoding="utf-8")
    listings(folder)
    return {"path": str(folder)}


def coco_files(folder, caption="caption"):
    for split in SPLITS:
        place = folder / f"{split}2014"
        place.mkdir(parents=True)
        images, annotations = [], []
        for number, (stem, (of, texts, data)) in enumerate(DATA.items()):
            if of == split:
                (place / f"{stem}.jpg").write_bytes(data)
                images.append({"id": number, "file_name": f"{stem}.jpg"})
                for text in texts:
                    about = {"id": len(annotations), "image_id": number, caption: text}
                    annotations.append(about)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"captions_{split}2014.json").write_text(
            json.dumps({"images": images, "annotations": annotations})
        )
    return {"path": str(folder)}


def questions_and_captions(folder):
    """COCO's captions with POPE's questions about the pictures of test."""
    coco_files(folder / "a")
    asked = [
        {"question_id": n, "image": f"{stem}.jpg", "text": "Is there a dog?", "label": "yes"}
        for n, (stem, (split, _, _)) in enumerate(DATA.items())
        if split == "test"
    ]
    (folder / "a" / "coco_pope_random.json").write_text("\n".join(map(json.dumps, asked)))
    return {"path": str(folder / "a"), "pictures": str(folder / "a")}


FORMATS = {
    "table": table,
    "table-tabs": lambda folder: table(folder, ".tsv", "\t"),
    "table-semicolons-cp1252": lambda folder: table(folder, ".csv", ";", "cp1252"),
    "table-utf16": lambda folder: table(folder, ".txt", "\t", "utf-16"),
    "table-parquet": parquet,
    "folder": pictures_and_texts,
    "folder-json": pictures_and_json,
    "folder-imagefolder": imagefolder,
    "webdataset": shards,
    "webdataset-json": shards_with_json,
    "webdataset-ours": our_shards,
    "hf": hub_files,
    "hf-saved": saved_to_disk,
    "flickr8k": token,
    "flickr8k-kaggle": kaggle,
    "flickr8k-karpathy": karpathy("dataset_flickr8k.json"),
    "flickr30k": karpathy("dataset_flickr30k.json"),
    "flickr30k-token": lambda folder: token(folder, "results_20130124.token"),
    "flickr30k-results": results_csv,
    "coco": coco_files,
    "coco-karpathy": karpathy("dataset_coco.json", filepath="val2014"),
    "vqa": questions_and_captions,
}


def test_every_source_is_here():
    """But scenes, which are drawn and not read."""
    assert {name.split("-")[0] for name in FORMATS} == set(registry.names("data/sources")) - {"scenes"}


def build(name, given, out):
    source = registry.load("data/sources", name.split("-")[0])
    config = source.build(params(name.split("-")[0], **given), 7, out)
    assert balanced(config)
    return config


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_items(name, tmp_path):
    folder = tmp_path / "in"
    given = FORMATS[name](folder)
    config = build(name, given, tmp_path / "out")
    items, rejected = read(tmp_path / "out")
    assert rejected == [] and config["items"] == SPLITS
    stored, opened = {}, Items(tmp_path / "out")
    for item in items.values():
        stored[opened.image_bytes(item)] = (item["split"], item["captions"])
    assert stored == {data: (split, texts) for split, texts, data in DATA.values()}
    assert not (tmp_path / "out" / "rows.sqlite").exists()
    usable.require(config, tmp_path / "out", params(name.split("-")[0], **given))
    again = build(name, given, tmp_path / "again")
    assert again == config
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.mark.parametrize("name", [name for name in FORMATS if "-" not in name])
def test_a_picture_that_is_too_dear_is_refused_by_every_source(name, tmp_path, monkeypatch):
    split, texts, _ = DATA["photo_train_1"]
    monkeypatch.setitem(DATA, "photo_train_1", (split, texts, dear_pictures.jpeg_of_exif(6 << 20)))
    config = build(name, FORMATS[name](tmp_path / "in"), tmp_path / "out")
    items, rejected = read(tmp_path / "out")
    assert {record["reason"] for record in rejected} == {"image_too_dear"}
    assert config["pictures"]["kept"] == len(DATA) - 1
    assert sum(item["image"] is not None for item in items.values()) == len(DATA) - 1


def test_libraries_read_our_shards_whole(tmp_path):
    """Picture, captions, split and id, by webdataset and by datasets."""
    build("table", table(tmp_path / "in"), tmp_path / "out")
    paths = sorted(map(str, (tmp_path / "out").glob("images-*.tar")))
    truth = {f"{stem}.jpg": value for stem, value in DATA.items()}
    samples = list(webdataset.WebDataset(paths, shardshuffle=False).decode())
    assert {it["json"]["id"]: (it["json"]["split"], it["json"]["captions"]) for it in samples} == {
        id: (split, texts) for id, (split, texts, _) in truth.items()
    }
    raw = {it["__key__"]: it["jpg"] for it in webdataset.WebDataset(paths, shardshuffle=False)}
    assert set(raw.values()) == {data for _, _, data in DATA.values()}
    loaded = datasets.load_dataset(
        "webdataset", data_files={"train": paths}, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert {row["json"]["id"]: (row["json"]["split"], list(row["json"]["captions"])) for row in loaded} == {
        id: (split, texts) for id, (split, texts, _) in truth.items()
    }
    assert all(row["jpg"].size == (32, 32) for row in loaded)


def test_vqa_v2_gqa_and_pope(tmp_path):
    folder = photos(tmp_path / "pics")
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"COCO_val2014_{number + 1:012d}.jpg")
    texts = tmp_path / "texts"
    texts.mkdir()
    asked = [{"question_id": n, "image_id": n, "question": f"How many dogs {n}?"} for n in range(1, 11)]
    answered = [
        {"question_id": n, "image_id": n, "answer_type": "number", "question_type": "how many",
         "answers": [{"answer": str(k % 2), "answer_confidence": "yes", "answer_id": k} for k in range(10)]}
        for n in range(1, 10)
    ]  # fmt: skip
    write = lambda name, data: (texts / name).write_text(json.dumps(data))  # noqa: E731
    write("v2_val2014_questions.json", {"questions": asked, "data_subtype": "val2014"})
    write("v2_val2014_annotations.json", {"annotations": answered, "data_subtype": "val2014"})
    gqa = {"imageId": "COCO_val2014_000000000010", "question": "Is it?", "answer": "no", "semantic": [{}]}
    write("train_balanced_questions.json", {"1": gqa})
    pope = [
        {"question_id": n, "image": f"COCO_val2014_{n:012d}.jpg", "text": "Is there a cup?", "label": "no"}
        for n in (2, 3)
    ]
    (texts / "coco_pope_popular.json").write_text("\n".join(map(json.dumps, pope)))
    given = {"path": str(texts), "pictures": str(folder)}
    build("vqa", given, tmp_path / "out")
    items, rejected = read(tmp_path / "out")
    assert [record["reason"] for record in rejected] == ["no_answer"]
    three, ten = items["COCO_val2014_000000000003"], items["COCO_val2014_000000000010"]
    assert three["split"] == "test" and ten["split"] == "train" and "Is there a cup? no" in three["captions"]
    assert {"question": "Is there a cup?", "answers": ["no"], "type": "pope_popular"} in three["questions"]
    how_many = {"question": "How many dogs 3?", "answers": list("0101010101"), "type": "number"}
    assert how_many in three["questions"]
    assert ten["questions"] == [{"question": "Is it?", "answers": ["no"]}]
    with pytest.raises(ValueError, match="-S data.pictures="):
        build("vqa", {"path": str(texts)}, tmp_path / "b")


def test_detections_become_captions_of_their_names(tmp_path):
    """As Roboflow exports them: train/_annotations.coco.json beside the pictures, without captions."""
    for split in ("train", "valid", "test"):
        (tmp_path / "in" / split).mkdir(parents=True)
        (tmp_path / "in" / split / "a.jpg").write_bytes(jpeg(len(split)))
        (tmp_path / "in" / split / "_annotations.coco.json").write_text(json.dumps({
            "images": [{"id": 0, "file_name": "a.jpg"}],
            "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
            "annotations": [{"id": n, "image_id": 0, "category_id": 1 + n % 2} for n in range(3)],
        }))  # fmt: skip
    build("coco", {"path": str(tmp_path / "in")}, tmp_path / "out")
    items = Items(tmp_path / "out")
    found = sorted((item["split"], item["captions"]) for item in (items[n] for n in range(len(items))))
    assert found == [("test", ["cat, dog"]), ("train", ["cat, dog"]), ("val", ["cat, dog"])]


def test_names_of_folders_are_captions_only_where_there_is_nothing_else(tmp_path, capsys):
    for split in ("train", "val", "test"):
        (tmp_path / "in" / split / "red_shoe").mkdir(parents=True)
        (tmp_path / "in" / split / "red_shoe" / "a.jpg").write_bytes(jpeg(len(split)))
    build("folder", {"path": str(tmp_path / "in")}, tmp_path / "out")
    items, _ = read(tmp_path / "out")
    assert {item["split"]: item["captions"] for item in items.values()} == {
        split: ["red shoe"] for split in ("train", "val", "test")
    }
    assert "the names of the folders are the captions" in capsys.readouterr().err
    (tmp_path / "in" / "train" / "red_shoe" / "a.txt").write_text("A shoe.")
    build("folder", {"path": str(tmp_path / "in")}, tmp_path / "again")
    items, rejected = read(tmp_path / "again")
    assert [item["captions"] for item in items.values()] == [["A shoe."]] and len(rejected) == 2


def test_links_are_followed_inside_and_refused_outside(tmp_path):
    photos(tmp_path / "real")
    coco_files(tmp_path / "in")
    for split in SPLITS:
        place = tmp_path / "in" / f"{split}2014"
        place.rename(tmp_path / "in" / f"files_{split}")
        place.symlink_to(tmp_path / "in" / f"files_{split}")
    config = build("coco", {"path": str(tmp_path / "in")}, tmp_path / "out")
    assert config["items"] == SPLITS and config["pictures"]["refused"] == 0
    given = table(tmp_path / "t")
    (tmp_path / "t" / "linked").symlink_to(tmp_path / "real")
    given["pictures"] = str(tmp_path / "t")
    text = (tmp_path / "t" / "items.csv").read_text().replace("photo_", "linked/photo_")
    (tmp_path / "t" / "items.csv").write_text(text)
    config = build("table", given, tmp_path / "out2")
    assert config["rejected"] == {"image_link": len(DATA)}
    with pytest.raises(
        ValueError, match=r"10 of 10 pictures .* same reason, image_link; .*a link leads out of"
    ):
        usable.require(config, tmp_path / "out2", params("table", **given))


def img2dataset(folder, texts, per_shard=5):
    """As img2dataset lays out what it fetched (output_format webdataset): shards of the pictures that came,
    each with a parquet of all its rows and its statistics. Every sixth address failed."""
    folder.mkdir()
    for shard, start in enumerate(range(0, len(texts), per_shard)):
        members, table = [], []
        for number, text in enumerate(texts[start : start + per_shard], start):
            key, failed = f"{shard:05d}{number - start:04d}", number % 6 == 5
            fetched = {
                "caption": text, "url": f"https://shop.example/{number}.jpg", "key": key,
                "status": "failed_to_download" if failed else "success",
                "error_message": "HTTP Error 404: Not Found" if failed else None,
                "width": None if failed else 48, "height": None if failed else 40,
                "original_width": None if failed else 96, "original_height": None if failed else 80,
                "exif": None if failed else "{}", "sha256": None if failed else "0" * 64,
            }  # fmt: skip
            table.append(fetched)
            if not failed:
                members += [(f"{key}.jpg", jpeg(number)), (f"{key}.txt", text.encode())]
                members += [(f"{key}.json", json.dumps(fetched, indent=4).encode())]
        tar(folder / f"{shard:05d}.tar", members)
        pq.write_table(pyarrow.Table.from_pylist(table), folder / f"{shard:05d}.parquet")
        (folder / f"{shard:05d}_stats.json").write_text(json.dumps({"count": len(table)}))
    return [text for number, text in enumerate(texts) if number % 6 != 5]


def test_what_img2dataset_fetched(tmp_path):
    """Its caption stands in txt and json, and is one caption, also with line ends in it."""
    texts = [f"A red bag {number}" + ("\r\nmade of leather" if number == 3 else "") for number in range(12)]
    expected = img2dataset(tmp_path / "in", texts)
    config = build("webdataset", {"path": str(tmp_path / "in")}, tmp_path / "out")
    items, rejected = read(tmp_path / "out")
    assert rejected == [] and config["pictures"]["refused"] == 0
    found = [item["captions"] for item in items.values()]
    assert found == [[" ".join(text.split())] for text in expected]
    assert len(items) == len(expected) and all(item["image"] for item in items.values())


@pytest.mark.parametrize("name", ["../../evil.jpg", "/abs/evil.jpg"])
def test_a_tar_that_leaves_its_folder_is_refused(tmp_path, name):
    tar(tmp_path / "a.tar", [(name, jpeg()), ("b.txt", b"words")])
    with pytest.raises(ArchiveError, match="has a path that leaves it"):
        build("webdataset", {"path": str(tmp_path)}, tmp_path / "out")


def test_links_in_a_tar_and_damaged_tars_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        info = tarfile.TarInfo("a.jpg")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(ArchiveError, match="is a link or device"):
        build("webdataset", {"path": str(tmp_path)}, tmp_path / "out")
    shards(tmp_path / "in")
    whole = (tmp_path / "in" / "train-000.tar").read_bytes()
    (tmp_path / "in" / "train-000.tar").write_bytes(whole[:2000])
    with pytest.raises(ArchiveError, match="train-000.tar"):
        build("webdataset", {"path": str(tmp_path / "in")}, tmp_path / "b")
    (tmp_path / "in" / "train-000.tar").write_bytes(b"\x1f\x8b" + whole)
    with pytest.raises(ArchiveError, match="no complete, uncompressed tar"):
        build("webdataset", {"path": str(tmp_path / "in")}, tmp_path / "c")


@pytest.mark.parametrize("form", ["webdataset", "jsonl"])
def test_huge_fields_broken_pictures_and_private_addresses(tmp_path, form):
    good = jpeg(1)
    samples = {
        "long": ({"caption": "x" * 10_001}, good), "broken": ({"caption": "a"}, good[:200]),
        "svg": ({"caption": "a"}, b"<svg/>"), "good": ({"caption": "fine"}, good),
        "none": ({"other": 1}, good),
    }  # fmt: skip
    folder = tmp_path / "in"
    folder.mkdir()
    if form == "webdataset":
        members = [("first.json", b'{"caption": "a"}'), ("huge.json", b"[" * 100_000)]
        for key, (fields, data) in samples.items():
            members += [(f"{key}.json", json.dumps(fields).encode()), (f"{key}.jpg", data)]
        tar(folder / "a.tar", members)
        config = build("webdataset", {"path": str(folder)}, tmp_path / "out")
        expected = {"bad_json": 1}
    else:
        lines = []
        for key, (fields, data) in samples.items():
            (folder / f"{key}.jpg").write_bytes(data)
            lines.append(json.dumps({"id": key, "image": f"{key}.jpg", **fields}))
        for n, url in enumerate(
            ["http://127.0.0.1/a.jpg", "http://[::1]/a.jpg", "http://169.254.169.254/x.jpg"]
        ):
            lines.append(json.dumps({"id": f"far{n}", "image": url, "caption": "far"}))
        (folder / "a.jsonl").write_text("\n".join([*lines, "[" * 100_000, "no json"]))
        config = build("table", {"path": str(folder / "a.jsonl"), "pictures": str(folder)}, tmp_path / "out")
        expected = {"bad_json": 2, "image_address": 3}
    items, _ = read(tmp_path / "out")
    refused = {"long_text": 1, "image_truncated": 1, "image_format": 1, "empty_text": 1} | expected
    assert config["rejected"] == refused and items["good"]["image"] and not items["broken"]["image"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("id,text\n1,a\n2,b\n3,c\n", "none of 3 items has a picture.*name the column of the pictures"),
        ("id,text,image\n1,a,0.jpg\n", "no picture is left for val and test .train 1, val 0.*at least 3"),
        ("id,text,image,split\n1,a,0.jpg,train\n2,b,1.jpg,train\n3,c,2.jpg,train\n4,d,,val\n5,e,3.jpg,test\n",
         r"no picture is left for val \(train 3, val 0, test 1\): add rows, raise data.val_share"),
        ("id,text,image\n1,a,x.jpg\n2,b,y.jpg\n", "2 of 2 pictures were refused .* reason, image_missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_said_at_once(tmp_path, rows, said):
    for n in range(4):
        (tmp_path / f"{n}.jpg").write_bytes(jpeg(n))
    (tmp_path / "items.csv").write_text(rows)
    given = {"path": str(tmp_path / "items.csv"), "pictures": str(tmp_path), "columns": NO_COLUMNS}
    config = build("table", given, tmp_path / "out")
    with pytest.raises(ValueError, match=said):
        usable.require(config, tmp_path / "out", params("table", **given))


def test_all_spellings_of_splits_lead_to_the_three():
    assert set(NAMES.values()) == {"train", "val", "test"}


HUB_BUILD = """
import json, sys
from pathlib import Path
from sightline.data.sources import hf
from tests.support.sources import params
address = "hf://datasets/owner/name@" + "a" * 40
print(json.dumps(hf.build(params("hf", base_url=address), 7, Path(sys.argv[1]))["items"]))
"""


def test_a_dataset_of_the_hub_is_fetched_once_by_its_commit(tmp_path):
    file = io.BytesIO()
    pq.write_table(pyarrow.Table.from_pylist(records()), file)
    base, commit, name = "/datasets/owner/name", "a" * 40, "data/all-00000-of-00001.parquet"
    listed = [{"type": "file", "path": name, "size": len(file.getvalue()), "oid": "b" * 40}]
    with fault_server() as server:
        server.files = {
            f"/api{base}/tree/{commit}?recursive=true&expand=false": json.dumps(listed).encode(),
            f"{base}/resolve/{commit}/{name}": file.getvalue(),
        }
        server.headers = {"X-Repo-Commit": commit}
        env = os.environ | {
            "HF_ENDPOINT": server.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        for out in ("a", "b"):
            command = [sys.executable, "-c", HUB_BUILD, str(tmp_path / out)]
            done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == SPLITS
            asked, server.requests = len(server.requests), []
    assert asked == 0
    with pytest.raises(
        ValueError, match="with all 40 digits of the commit; got 'hf://datasets/owner/name@main'"
    ):
        build("hf", {"base_url": "hf://datasets/owner/name@main"}, tmp_path / "c")


@pytest.mark.parametrize("source", ["table", "hf", "folder"])
def test_offline_no_source_fetches_what_its_rows_name_by_address(source, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    jpeg_path = photos(folder / "local") / "photo_train_0.jpg"
    names = [f"https://example.invalid/{n}.jpg" for n in range(3)]
    if source == "folder":
        lines = [json.dumps({"file_name": name, "text": "A cup."}) for name in names]
        (folder / "metadata.jsonl").write_text("\n".join(lines))
        given = {"path": str(folder)}
    else:
        data = {"image": [*names, "photo_train_0.jpg"], "caption": ["A cup."] * 4}
        pq.write_table(pyarrow.table(data), folder / "train.parquet")
        path = folder / "train.parquet" if source == "table" else folder
        given = {"path": str(path), "pictures": str(jpeg_path.parent)}
    built = registry.load("data/sources", source).build(
        params(source, **given), 7, tmp_path / "out", online=False
    )
    assert built["rejected"].get("image_remote") == 3, "refused as not on this disk, not as unreachable"
