"""The page, the picture and the table that a person judges maps with."""

import re
from dataclasses import replace

import pytest
from PIL import Image

from sightline.explain.explained_items import Item
from sightline_lab.faithfulness import maps_to_judge
from tests.support import tiny

METHODS = ["cross_attention", "random"]


def items(count):
    return [
        Item(f"item{number}", rgb, rgb, "color", tiny.QUESTIONS[0], "red", [])
        for number, rgb in enumerate(tiny.pictures(count))
    ]


def test_every_answer_is_drawn_large_and_has_a_line(model, tmp_path):
    drawn = maps_to_judge.draw(model, METHODS, items(3), str.__eq__, "magma", tmp_path)
    assert drawn == 3
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("<article") == 3 and len(re.findall("data-map", page)) == 3 * len(METHODS)
    width, height = Image.open(tmp_path / "maps.png").size
    assert width >= 2 * 3 * 224 and height >= 2 * 224  # two questions a row, a picture and two maps each
    rows = (tmp_path / "verdicts.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 2 + 3 and len({row.count("|") for row in rows}) == 1
    assert rows[0].endswith("| cross_attention | random |") and rows[2].startswith("| 1 | What color is")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    maps_to_judge.draw(model, METHODS, items(3), str.__eq__, "magma", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_any_answer_nothing_is_written(model, tmp_path, monkeypatch):
    real = maps_to_judge.ask
    monkeypatch.setattr(
        maps_to_judge, "ask", lambda *words: replace(real(*words), words=[], ids=[], answer="")
    )
    with pytest.raises(ValueError, match="no answer of a word"):
        maps_to_judge.draw(model, METHODS, items(1), str.__eq__, "magma", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_is_refused_first(model, tmp_path):
    with pytest.raises(ValueError, match="occlusion"):
        maps_to_judge.draw(model, ["oclusion"], items(1), str.__eq__, "magma", tmp_path)
    assert not list(tmp_path.iterdir())
