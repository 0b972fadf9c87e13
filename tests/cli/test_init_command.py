"""`sightline init`: what it guesses, what it creates and what it refuses, by the real command."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from sightline.cli.new_repository import data_options, picture_folder
from sightline.cli.new_repository.own_repository import Plan
from sightline.core.params import loader
from sightline.core.params.data_params import ColumnParams
from sightline.data import images
from tests.support import command_line

HEADER = "title,description,image_url,id"


def picture(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path.write_bytes(images.encode(rgb)[0])
    return path


def table(folder: Path, header: str = HEADER, row: str = "Red cup,A cup,pictures/{}.png,i{}") -> Path:
    """Six rows with their pictures in the folder pictures beside the table."""
    for number in range(6):
        picture(folder / "pictures" / f"{number}.png", number)
    lines = [row.replace("{}", str(number)) for number in range(6)]
    (folder / "items.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder / "items.csv"


def init(cwd: Path, *words, code: int = 0) -> subprocess.CompletedProcess:
    return command_line.run(cwd, "init", *words, code=code, torch=False)


def leaves(repository: Path) -> dict:
    return loader.load_params(repository / "params.yaml").model_dump(mode="json")["data"]


def planned(path: Path, target: Path, **columns) -> Plan:
    """What the command would make of a table, without making it."""
    empty = {"id": "", "image": "", "captions": (), "split": "", "question": "", "answer": ""}
    given = ColumnParams(**{**empty, **columns})
    return data_options.plan_table(data_options.Table(path, given, None), target)[0]


def test_a_repository_holds_what_a_build_needs_and_no_result(tmp_path):
    table(tmp_path)
    said = init(tmp_path, "shoes", "--table", "items.csv").stdout
    made = tmp_path / "shoes"
    assert "image: column `image_url` (--image)" in said and "pictures: ../pictures (--pictures)" in said
    assert "captions: columns `title`, `description` (--caption)" in said
    data = leaves(made)
    assert (data["source"], data["path"], data["pictures"]) == ("table", "../items.csv", "../pictures")
    assert data["columns"]["image"] == "image_url" and data["columns"]["captions"] == ["title", "description"]
    profile = YAML(typ="safe", pure=True).load((made / "profiles" / "shoes.yaml").read_text())
    assert profile["extends"] == "own" and loader.load_params(made / "params.yaml").profile == "shoes"
    tracked = subprocess.run(["git", "ls-files"], cwd=made, capture_output=True, text=True).stdout.split()
    assert {"dvc.yaml", "stages/resolve.py", "resolved.yaml", "requirements.txt", "README.md"} <= {*tracked}
    assert not [name for name in tracked if name.startswith(("src/", "metrics/", "docs/reports", "lab/"))]
    assert not list(tmp_path.glob(".shoes*")), "nothing is left of making it"
    assert "sightline-vlm[serve,train] @ git+" in (made / "requirements.txt").read_text()


def test_without_an_identity_git_has_no_commit_and_it_is_said(tmp_path):
    table(tmp_path)
    env = {name: value for name, value in command_line.environment().items() if not name.startswith("GIT_")}
    env |= {"HOME": str(tmp_path), "EMAIL": "", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "user.useConfigOnly", "GIT_CONFIG_VALUE_0": "true"}  # fmt: skip
    command = command_line.command("init", "x", "--table", "items.csv")
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "git has no commit yet" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "x" / "params.yaml").exists()


@pytest.mark.parametrize(
    ("header", "row", "columns"),
    [
        ("filename,caption", "pictures/{}.png,A cup", {"image": "filename", "captions": ["caption"]}),
        ("image;comment", "{}.png;Eine Tasse", {"image": "image", "captions": ["comment"]}),
        (
            "id,productDisplayName,image_path,split",
            "{},Red cup,pictures/{}.png,train",
            {"id": "id", "image": "image_path", "captions": ["productDisplayName"], "split": "split"},
        ),
        (
            "image,question,answer",
            "{}.png,What is it?,a cup",
            {"image": "image", "question": "question", "answer": "answer"},
        ),
    ],
)
def test_usual_headers_are_understood(tmp_path, header, row, columns):
    plan = planned(table(tmp_path, header, row), tmp_path / "x")
    told = "de" if "Tasse" in row else "en" if "captions" in columns else None
    assert plan.leaves.pop("convert.language", None) == told
    assert plan.leaves == {"data.source": "table"} | {f"data.columns.{key}": columns[key] for key in columns}
    assert plan.local == {"data.path": "../items.csv", "data.pictures": "../pictures"}


def test_options_win_over_the_header(tmp_path):
    path = table(tmp_path, "title,notes,alt,image,key", "Red cup,x,A cup,{}.png,k{}")
    names = data_options.split_names("alt, notes", path)
    found = planned(path, tmp_path / "x", captions=names, id="key").leaves
    assert found["data.columns.captions"] == ["alt", "notes"] and found["data.columns.id"] == "key"
    (tmp_path / "items.csv").write_text('"alt, notes",image\nA cup,pictures/1.png\n')
    assert data_options.split_names("alt, notes", path) == ("alt, notes",)


def test_data_elsewhere_stay_where_they_are(tmp_path):
    path = table(tmp_path / "data")
    local = planned(path, tmp_path / "work" / "x").local
    assert local == {"data.path": str(path), "data.pictures": str(tmp_path / "data" / "pictures")}


def test_addresses_need_no_folder(tmp_path):
    path = table(tmp_path, HEADER, "Red cup,A cup,https://example.org/{}.png,i{}")
    assert planned(path, tmp_path / "x").local == {"data.path": "../items.csv"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x", "--table", "absent.csv"), "absent.csv is not there"),
        (("x", "--table", "items.csv", "--image", "photo"), "got 'photo', expected one of the columns"),
        (("x", "--table", "items.csv", "--pictures", "empty"), "--pictures names their folder"),
        (("x", "--table", "bare.csv"), "none of its columns is known to hold pictures"),
        (("x", "--table", "wordless.csv"), "no column with captions"),
        (("x", "--table", "far.csv"), "are not in"),
        (("x", "--folder", "absent"), "absent is not there"),
        (("x", "--coco", "items.csv"), "items.csv is a file, expected a folder"),
        (("pictures/x", "--table", "items.csv"), "every build would change it"),
        (("x",), "give exactly one of --table"),
        (("x", "--table", "items.csv", "--folder", "pictures"), "give exactly one of --table"),
        (("x", "--folder", "pictures", "--id", "id"), "are of a table"),
        ((".", "--table", "items.csv"), "holds "),
        (("items.csv", "--table", "items.csv"), "is no folder"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_created(tmp_path, words, message):
    table(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare.csv").write_text("title,price\nRed cup,3\n")
    (tmp_path / "wordless.csv").write_text("image,price\npictures/1.png,3\n")
    (tmp_path / "far.csv").write_text("image,caption\nelsewhere/1.png,A cup\n")
    before = sorted(tmp_path.rglob("*"))
    said = " ".join(init(tmp_path, *words, code=2).stderr.replace("│", " ").split())
    assert message in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_pictures_of_several_layouts(tmp_path):
    for name in ("a/x/1.png", "a/y/2.png", "b/3.png"):
        picture(tmp_path / "items" / name, 1)
    beside = tmp_path / "items" / "table.csv"
    assert picture_folder.find(beside, ["a/x/1.png", "a/y/2.png"]) == tmp_path / "items" / "a"
    assert picture_folder.find(beside, ["a/x/1.png", "b/3.png"]) == tmp_path / "items"
    assert picture_folder.find(beside, ["3.png"]) == tmp_path / "items" / "b"
    assert picture_folder.find(beside, [str(tmp_path / "items" / "b" / "3.png")]) == tmp_path / "items" / "b"
    assert picture_folder.find(beside, ["4.png"]) is None
    assert picture_folder.local(["", "https://a/b.png", "file:///a%20b.png", "c.png"]) == [
        "/a b.png",
        "c.png",
    ]


def test_the_language_of_the_captions_is_told(tmp_path):
    """By the word lists of the languages that questions are made in; a language without one is said so."""
    german = table(tmp_path / "de", "Titel;Beschreibung;Bild;Artikelnummer",
                   "Rote Tasse;Eine rote Tasse aus Keramik auf dem Tisch;pictures/{}.png;i{}")  # fmt: skip
    plan = planned(german, tmp_path / "shop")
    assert plan.leaves["convert.language"] == "de"
    assert plan.leaves["data.columns.captions"] == ["Titel", "Beschreibung"]
    assert (plan.leaves["data.columns.image"], plan.leaves["data.columns.id"]) == ("Bild", "Artikelnummer")
    english = table(tmp_path / "en", row="Red cup,A red cup on a wooden table,pictures/{}.png,i{}")
    assert planned(english, tmp_path / "shop").leaves["convert.language"] == "en"
    dutch = table(tmp_path / "nl", row="Rode beker,een rode beker bij het raam,pictures/{}.png,i{}")
    said = init(tmp_path, "shop", "--table", "nl/items.csv").stdout
    assert "language: none of de, en, in which questions are made from captions (--language)" in said
    assert "convert.language" not in planned(dutch, tmp_path / "other").leaves
    named = init(tmp_path, "named", "--table", "nl/items.csv", "--language", "nl").stdout
    assert "language: nl (--language)" in named
    assert loader.load_params(tmp_path / "named" / "params.yaml").convert.language == "nl"
