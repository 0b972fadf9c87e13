"""The sheet of an audit: a question of each drawn item, and the count of a reader's verdicts."""

import csv
import json

import pytest
from typer.testing import CliRunner

from sightline.core import artifacts
from sightline.data.shards import ShardWriter
from sightline_lab.cli.main import app


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).touch()
    with artifacts.create(tmp_path / "data/raw", "raw", {}) as out, ShardWriter(out, 2**20) as writer:
        for number in range(6):
            item = {"id": f"i{number}", "split": "train", "captions": [f"a dog, {number}"]}
            writer.add(item, None)
    with artifacts.create(tmp_path / "data/vqa", "vqa", {}) as out, open(out / "train.jsonl", "w") as file:
        for number in range(6):
            for kind, question in (("describe", "Describe."), ("existence", "Is there a dog?"))[
                : number % 6 + 1
            ]:
                triple = {"item": number, "image": f"i{number}", "type": kind, "rule": "r", "answer": "yes"}
                file.write(json.dumps(triple | {"question": question}, sort_keys=True) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(sheet):
    with open(sheet, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_sheet_is_drawn_and_its_verdicts_are_counted(checkout):
    sheet = checkout / "sheet.csv"
    drawn = CliRunner().invoke(app, ["audit", str(sheet), "--items", "4", "--seed", "3"])
    assert drawn.exit_code == 0, drawn.output
    rows = read(sheet)
    assert len({row["item"] for row in rows}) == 4 and {row["type"] for row in rows} == {"existence"}
    assert all(row["captions"].startswith("a dog") and row["verdict"] == "" for row in rows)
    unread = CliRunner().invoke(app, ["audit", str(sheet)])
    assert unread.exit_code != 0 and "line 2" in unread.output
    with open(sheet, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        verdicts = ("right", "right", "doubtful", "right")
        writer.writerows(row | {"verdict": verdict} for row, verdict in zip(rows, verdicts, strict=True))
    counted = CliRunner().invoke(app, ["audit", str(sheet)])
    assert "audit: 3 of 4 right (75.0 %)" in counted.output
