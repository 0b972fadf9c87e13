"""data/raw and data/vqa are the same bytes from one process, from processes of this machine and from Ray."""

import random
from pathlib import Path

import pytest

from sightline.core import artifacts
from sightline.core.params.loader import load_params
from sightline.data.intake import prepared_pictures
from sightline.data.questions import convert_captions
from sightline.data.sources import table
from tests.support.sources import jpeg, params

ROWS = 60
SAID = (
    "A brown dog runs in the snow .", "Two men play with a ball .", "A man rides a white horse .",
    "A black dog catches a red ball .", "A woman sits on a red bench .", "Three children play in the snow .",
)  # fmt: skip
BAD = {7: None, 23: b"no picture", 41: b""}  # rows whose picture is missing or cannot be decoded


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A table with more parts than a process computes alone."""
    monkeypatch.setattr(prepared_pictures, "CHUNK", 4)
    monkeypatch.setattr(convert_captions, "PART", 4)
    draw = random.Random(0)
    rows = ["id,caption,caption2,image"]
    for number in range(ROWS):
        data = BAD.get(number, jpeg(number, 24))
        if data is not None:
            (tmp_path / f"{number}.jpg").write_bytes(data)
        rows.append(f"p{number},{draw.choice(SAID)},{draw.choice(SAID)},{number}.jpg")
    (tmp_path / "items.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def built(photos, lexicon, name):
    """The files of data/raw and data/vqa."""
    out = photos / name
    chosen = params("table", path=str(photos / "items.csv"), pictures=str(photos), image_side=16)
    config = {"source": "table"}
    with artifacts.create(out / "raw", "raw", config) as folder:
        config.update(table.build(chosen, 0, folder))
    raw, config = artifacts.load(out / "raw", "raw"), {}
    changes = {"profile": "own", "data.path": str(photos / "items.csv"), "convert.lexicon": lexicon}
    project = load_params(Path("params.yaml"), changes)
    with artifacts.create(out / "vqa", "vqa", config) as folder:
        config.update(convert_captions.convert(raw, folder, project.convert, 0, 10_000, True))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.fixture
def alone(monkeypatch):
    """`built` in this process, part by part."""

    def build(*arguments):
        with monkeypatch.context() as patch:
            for module in (prepared_pictures, convert_captions):
                patch.setattr(
                    module, "map_shards", lambda function, parts, **options: map_each(function, parts)
                )
            return built(*arguments)

    return build


def map_each(function, parts):
    for part in parts:
        yield function(part)


def is_as(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert len(expected["raw/rejected.jsonl"].splitlines()) == len(BAD)
    assert len(expected["vqa/train.jsonl"].splitlines()) > ROWS


@pytest.mark.parametrize("lexicon", ["corpus", "photos"])
def test_processes_of_this_machine_give_the_bytes_of_one(photos, alone, lexicon):
    is_as(built(photos, lexicon, "pool"), alone(photos, lexicon, "alone"))


def test_ray_gives_the_bytes_of_one_process(photos, alone, ray_cluster):
    is_as(built(photos, "corpus", "ray"), alone(photos, "corpus", "alone"))


def test_one_part_gives_the_questions_of_many(photos, alone, monkeypatch):
    many = alone(photos, "corpus", "many")
    monkeypatch.setattr(convert_captions, "PART", ROWS)
    monkeypatch.setattr(prepared_pictures, "CHUNK", ROWS)
    is_as(alone(photos, "corpus", "one"), many)
