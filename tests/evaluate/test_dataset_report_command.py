"""`sightline dataset-report` as a user runs it: a table of their own, the built data, and both gone wrong."""

import csv
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from sightline.core import artifacts
from sightline.data.questions.convert_captions import convert
from sightline.data.scenes import sample as sampling
from sightline.data.sources import scenes
from sightline.evaluate.dataset_report.write_report import WRITTEN
from tests.support import command_line, params_files
from tests.support.command_line import ROOT

EVIL = "<script>alert(1)</script> $x^2$ \"'&amp;"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with the built data of sixty scenes, nothing else."""
    here = tmp_path_factory.mktemp("checkout")
    shutil.copyfile(ROOT / "dvc.yaml", here / "dvc.yaml")
    sizes = dict.fromkeys(sampling.SPLITS, 9) | {"train": 60}
    params = params_files.write(here, leaves={"data.sizes": sizes})
    config = {"source": "scenes", "image_side": 64}
    with artifacts.create(here / "data" / "raw", "raw", config) as folder:
        config.update(scenes.build(params.data, 7, folder))
    raw, config = artifacts.load(here / "data" / "raw", "raw"), {}
    with artifacts.create(here / "data" / "vqa", "vqa", config) as folder:
        config.update(convert(raw, folder, params.convert, 7, params.data.max_pixels, True))
    return here


@pytest.fixture
def table(tmp_path):
    """Forty rows with a picture each, of a dog that always has a ball, and five rows with a fault."""
    (tmp_path / "pics").mkdir()
    rows = [["title", "description", "image_url", "id"]]
    for number in range(40):
        animal, thing = ("dog", "ball") if number % 2 else ("cat", "umbrella")
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pics" / f"{number}.png")
        rows.append(
            [
                f"{animal.title()} with a {thing}",
                f"A brown {animal} with a {thing}",
                f"pics/{number}.png",
                f"i{number}",
            ]
        )
    rows += [
        ["again", "x", "", "i3"], ["", "", "", "empty"], ["a dog", "far", "https://example.org/a.png", "far"],
        ["a dog", "gone", "pics/gone.png", "gone"], [EVIL, "", "", EVIL],
    ]  # fmt: skip
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    (tmp_path / "items.csv").write_text(text.getvalue(), encoding="utf-8")
    return tmp_path / "items.csv"


def report(checkout, *words):
    return command_line.run(checkout, "dataset-report", *words, torch=False)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_built_data(checkout, tmp_path):
    first = report(checkout, "-o", tmp_path / "first")
    assert first.returncode == 0, first.stderr
    assert "scenes: train 60, val 9, test 9" in first.stdout and "left out: nothing" in first.stdout
    again = report(checkout, "-o", tmp_path / "again", "--json")
    written = files(tmp_path / "first")
    assert written.keys() == {*WRITTEN, "config.json", "manifest.json"}
    assert written == files(tmp_path / "again")
    figures = json.loads(again.stdout)
    assert figures == json.loads(written["analysis.json"])
    assert figures["splits"]["train"] == {"items": 60, "pictures": 60, "captions": 300} | {
        "questions": sum(1 for _ in open(checkout / "data" / "vqa" / "train.jsonl"))
    }
    assert figures["pictures"]["train"]["common_sizes"] == [[64, 64, 60]]
    held_out = {tuple(pair) for pair in figures["colors"]["held_out"]}
    assert held_out <= {tuple(pair) for pair in figures["colors"]["never"]["train"]}
    for pair in figures["objects"]["across"]:
        if pair["built_in"]:
            assert pair["splits"]["shift_test"]["share"] in (0.0, None)


def test_a_table_with_bad_rows(checkout, table):
    out = table.parent / "out"
    done = report(checkout, table, "-o", out)
    assert done.returncode == 0, done.stderr
    figures = json.loads((out / "analysis.json").read_text(encoding="utf-8"))
    assert sum(split["items"] for split in figures["splits"].values()) == 43
    assert sum(split["pictures"] for split in figures["splits"].values()) == 40
    assert figures["refused"] == {"duplicate_id": 1, "empty_text": 1, "image_missing": 1, "image_remote": 1}
    assert figures["left_out"] == {"no_picture": 3}
    details = " ".join(fault["detail"] for fault in figures["refused_first"])
    assert (
        "line 42" in details and "the id 'i3' was used before" in details and "nothing is fetched" in details
    )
    top = figures["objects"]["across"][0]
    assert {top["given"], top["then"]} in ({"cat", "umbrella"}, {"dog", "ball"})
    assert top["splits"]["train"]["share"] == 1.0
    assert figures["questions"]["train"]["existence"]["yes_share"] == 0.5
    assert not (table.parent / "raw").exists(), "the user's folder stays as it was"


def test_the_page_is_offline_and_shows_text_as_text(checkout, table):
    out = table.parent / "out"
    report(checkout, table, "-o", out)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page and "<script" not in page
    assert not re.search(r"(src|href)=\"(?!data:image/(png|jpeg);base64,)", page)
    assert not re.search(r"url\(|@import", page)


def test_a_second_analysis_leaves_nothing_of_the_first(checkout, table):
    out = table.parent / "out"
    report(checkout, table, "-o", out)
    (table.parent / "words.csv").write_text("title,description,image_url,id\nshoe,red,,1\n")
    done = report(checkout, table.parent / "words.csv", "-o", out)
    assert "questions: none" in done.stdout
    written = {"lengths.png", "zipf.png", "index.html", "data.md", "analysis.json"}
    assert files(out).keys() == written | {"config.json", "manifest.json"}
    (out / "mine.txt").write_text("kept")
    before = files(out)
    refused = report(checkout, table, "-o", out)
    assert refused.returncode == 2 and "mine.txt in it, which its manifest does not name" in refused.stderr
    assert files(out) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sku,price\na,b\n", "no column with captions was recognised among its columns: sku, price"),
        (
            "title,description,image_url,id\n,,,1\n",
            "found none among 1; the first: bad.csv, line 2: no caption",
        ),
        ("title,description,image_url,id\n", "expected rows with text, found none among 0"),
        (None, "bad.csv is not a file"),
    ],
)
def test_a_table_without_a_good_row_is_refused(checkout, tmp_path, text, message):
    if text is not None:
        (tmp_path / "bad.csv").write_text(text)
    done = report(checkout, tmp_path / "bad.csv", "-o", tmp_path / "out")
    assert done.returncode == 2 and message in done.stderr and not (tmp_path / "out").exists()


def test_missing_data_is_an_error_with_its_cure(checkout, tmp_path):
    shutil.copyfile(checkout / "dvc.yaml", tmp_path / "dvc.yaml")
    params_files.write(tmp_path)
    done = report(tmp_path)
    assert done.returncode == 2 and "dvc repro convert" in done.stderr and "items.csv" in done.stderr
