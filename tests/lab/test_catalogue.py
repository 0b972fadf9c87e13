"""The rendered catalogue: the same bytes each time, a truth that texts and pictures agree with, copies."""

import csv
import hashlib
import html
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sightline_lab.catalogue import render, vocabulary, writer
from sightline_lab.catalogue.products import product
from sightline_lab.cli.main import app

COPIES = 0.08
ITEMS = 250


def write(out, language="en"):
    """The rows and the truth of a catalogue written to `out`."""
    for _ in writer.write(out, ITEMS, 7, language, COPIES, 64):
        pass
    with open(out / "items.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = [json.loads(line) for line in (out / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    return rows, truth


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    out = tmp_path_factory.mktemp("catalogue") / "en"
    return out, *write(out)


@pytest.fixture(scope="module")
def german(tmp_path_factory):
    out = tmp_path_factory.mktemp("catalogue") / "de"
    return out, *write(out, "de")


def digests(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pixels(path, side=32):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((side, side)), np.float32)


def words_of(row):
    return html.unescape(re.sub("<br ?/?>", " ", f"{row['title']} {row['description']}")).casefold()


def test_the_same_arguments_write_the_same_bytes(english, tmp_path):
    write(tmp_path / "again")
    assert digests(tmp_path / "again") == digests(english[0])


def test_a_smaller_catalogue_is_the_start_of_a_larger_one(english, tmp_path):
    for _ in writer.write(tmp_path / "few", 20, 7, "en", COPIES, 64):
        pass
    whole, few = digests(english[0]), digests(tmp_path / "few")
    for name in few:
        if name.startswith("images/"):
            assert few[name] == whole[name]
    assert (english[0] / "items.csv").read_bytes().startswith((tmp_path / "few" / "items.csv").read_bytes())


def test_rows_and_pictures(english):
    out, rows, truth = english
    assert [row["id"] for row in rows] == [line["id"] for line in truth]
    assert len({row["id"] for row in rows}) == ITEMS
    for row in rows:
        assert row["title"] or row["description"]
        assert row["split"] == ""
        if row["image"]:
            with Image.open(out / row["image"]) as image:
                assert image.format == "JPEG" and image.width == image.height
                assert 0.7 * 0.875 * 64 - 1 <= image.width <= 1.3 * 1.25 * 64 + 1
    without = [row for row in rows if not row["image"]]
    assert 0 < len(without) < 0.1 * ITEMS
    for column in ("price", "category", "description"):
        assert any(not row[column] for row in rows)


def test_ground_is_white_and_the_product_in_the_middle_has_its_color():
    for number in range(60):
        thing = product(3, number, 0.0)
        image = np.asarray(render.drawn(3, thing, 96), np.float32)
        corners = image[[2, 2, -3, -3], [2, -3, 2, -3]]
        assert corners.min() > 235
        distance = np.abs(image - np.array(thing.shade.rgb, np.float32)).mean(axis=2)
        assert (distance < 45).mean() > 0.004, (number, thing.kind, thing.shade.en)


@pytest.mark.parametrize("language", ["english", "german"])
def test_the_text_states_what_the_truth_says_it_claims(language, request):
    _, rows, truth = request.getfixturevalue(language)
    german = language == "german"
    assert len(rows) == len(truth) > 0
    for row, line in zip(rows, truth, strict=True):
        text, kind = words_of(row), vocabulary.KINDS[line["kind"]]
        shade = next(shade for shade in vocabulary.SHADES if shade.en == line["shade"])
        said = {
            "kind": [noun for noun, _ in kind.de] if german else kind.en,
            "color": [shade.de if german else shade.en],
            "material": [vocabulary.MATERIALS_DE[line["material"]] if german else line["material"]],
            "pattern": ["streifen", "punkte", "karos", "gestreift", "gepunktet", "kariert"]
            if german
            else ["stripes", "dots", "checks", "striped", "dotted", "checked"],
        }
        for claim in line["claims"]:
            if claim in said:
                assert any(word.casefold() in text for word in said[claim]), (row, claim)
            elif claim.startswith("part: "):
                name = claim.removeprefix("part: ")
                assert name in line["parts"], (row, claim)
                assert german or name.removesuffix("s") in text, (row, claim)
        if "pattern" in line["claims"]:
            assert line["pattern"] in vocabulary.PATTERNS


def test_no_text_gives_a_product_a_color_that_it_has_not(english):
    """Every colour word is the product's, a part's, the pattern's, or listed as not shown."""
    names = sorted({shade.en for shade in vocabulary.SHADES}, key=len, reverse=True)
    pattern = re.compile(r"\b(" + "|".join(names) + r")\b")
    base = {shade.en: shade.base for shade in vocabulary.SHADES}
    checked = 0
    for row, line in zip(english[1], english[2], strict=True):
        true = {line["color"], line["second_color"], *(part["color"] for part in line["parts"].values())}
        aside = {base[name] for each in line["not_shown"] for name in pattern.findall(each)}
        for name in pattern.findall(words_of(row)):
            assert base[name] in true | aside, (row, name)
            checked += 1
    assert checked > ITEMS


def test_copies_are_listed_and_look_alike_and_others_are_not_the_same(english):
    out, _, truth = english
    lines = {line["id"]: line for line in truth}
    copies = [line for line in truth if line["copy_of"]]
    assert 0.03 * ITEMS < len(copies) < 0.15 * ITEMS
    assert {line["change"] for line in copies} <= {"re-encoded", "rescaled", "shifted", "brightness"}
    groups = set()
    for line in truth:
        if line["image"] and not line["copy_of"]:
            groups.add((line["design"], line["color"]))
    assert len(groups) == sum(bool(line["image"]) and not line["copy_of"] for line in truth)
    for line in copies:
        origin = lines[line["copy_of"]]
        assert origin["copy_of"] is None and origin["image"] and line["image"]
        for fact in ("kind", "shade", "parts", "pattern", "material"):
            assert line[fact] == origin[fact]
        assert np.abs(pixels(out / line["image"]) - pixels(out / origin["image"])).mean() < 26
    assert any(line["design"] != line["id"] and not line["copy_of"] for line in truth)  # variants


def test_every_kind_is_drawn_and_every_part_changes_the_picture():
    """What truth.jsonl calls a part is to be seen."""
    assert set(render.DRAWINGS) == set(vocabulary.KINDS)
    seen = set()
    for number in range(400):
        thing = product(11, number, 0.0)
        for name in [part.name for part in vocabulary.KINDS[thing.kind].parts if part.chance < 1]:
            if name in thing.parts and (thing.kind, name) not in seen:
                seen.add((thing.kind, name))
                without = replace(thing, parts={k: v for k, v in thing.parts.items() if k != name})
                pair = [np.asarray(render.drawn(11, each, 96), np.float32) for each in (thing, without)]
                assert (np.abs(pair[0] - pair[1]).max(axis=2) > 12).sum() >= 5, (thing.kind, name)
    assert len(seen) > 40


def test_command_refuses_a_folder_that_exists_and_an_unknown_language(tmp_path):
    runner = CliRunner()
    done = runner.invoke(app, ["catalogue", str(tmp_path / "shop"), "--items", "5", "--side", "32"])
    assert done.exit_code == 0 and "5 items" in done.output
    assert len(list((tmp_path / "shop").rglob("*.jpg"))) >= 4
    assert runner.invoke(app, ["catalogue", str(tmp_path / "shop"), "--items", "5"]).exit_code == 2
    assert runner.invoke(app, ["catalogue", str(tmp_path / "other"), "--language", "fr"]).exit_code == 2
    assert (tmp_path / "shop" / "README.txt").read_text().startswith("A rendered product catalogue")
