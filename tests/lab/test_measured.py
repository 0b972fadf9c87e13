"""`sightline lab retrieval` and `search-bench` over a tiny bundle: what they write, what they refuse."""

import json
import shutil

import pytest

from sightline.core.artifacts import write_json
from tests.support import command_line, params_files, tiny
from tests.support.command_line import ROOT

ITEMS, SPLITS = 48, ("train", "val", "test")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with 16 items in each of three splits, and questions about them."""
    here = tmp_path_factory.mktemp("measured")
    for name in ("metrics", "docs/reports"):
        (here / name).mkdir(parents=True)
    shutil.copyfile(ROOT / "dvc.yaml", here / "dvc.yaml")
    leaves = {"generation.max_tokens": tiny.MAX_ANSWER, "evaluate.bootstrap": 50}
    params_files.write(here, "scenes", leaves)
    raw, vqa = here / "data" / "raw", here / "data" / "vqa"
    items = tiny.raw(raw, ITEMS, SPLITS)
    write_json(raw / "config.json", {"image_side": 64})
    vqa.mkdir()
    write_json(vqa / "config.json", {"objects": {"ball": ["ball"], "cup": ["cup"]}})
    for split in SPLITS[1:]:
        triples = []
        for line in items.split(split):
            for kind, question, answer in (
                ("existence", "Is there a cup?", "yes"), ("color", "What color is the ball?", "red"),
                ("pope_adversarial", "Is there a ball?", "no"),
                ("describe", "Describe the image in detail.", tiny.CAPTIONS[0]),
            ):  # fmt: skip
                triples.append({"item": int(line), "type": kind, "question": question, "answer": answer})
        (vqa / f"{split}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in triples))
    return here


@pytest.fixture
def run(checkout, bundle):
    def call(*words, code=0):
        return command_line.run(checkout, "lab", *words, "--bundle", bundle, code=code)

    return call


def test_captions_are_measured_with_and_without(run, checkout):
    def files():
        return [(checkout / name).read_bytes() for name in ("metrics/retrieval_augmented.json",
                                                            "docs/reports/retrieval.md")]  # fmt: skip

    run("retrieval", "--items", "6")
    first = files()
    run("retrieval", "--items", "6")
    assert files() == first  # nothing of it depends on the run
    result = json.loads(first[0])
    assert result["chosen"] in (1, 3, 5) and [one["k"] for one in result["val"]["tried"]] == [1, 3, 5]
    best = max(one["figures"][0]["value"] for one in result["val"]["tried"])
    chosen = next(one for one in result["val"]["tried"] if one["k"] == result["chosen"])
    assert chosen["figures"][0]["type"] == "all" and chosen["figures"][0]["value"] == best
    test = result["test"]
    assert (test["pictures"], test["questions"], test["train"]) == (6, 24, 6)
    for variant in test["ways"]:
        for off, on, gap in zip(test["off"], variant["figures"], variant["minus_off"], strict=True):
            assert gap["value"] == pytest.approx(on["value"] - off["value"], abs=2e-3)  # three decimals each
            assert gap["low"] <= gap["value"] <= gap["high"]
    page = first[1].decode()
    assert "## With and without, on `test`" in page and "the picture's own" in page


def test_search_is_measured_against_size(run, checkout):
    output = run("search-bench", "--sizes", "40,80").stdout
    result = json.loads((checkout / "metrics" / "search.json").read_text())
    assert {one["size"] for one in result["rows"]} == {40, 80} and result["threads"] == 2
    assert "docs/reports/search-speed.md" in output
    page = (checkout / "docs" / "reports" / "search-speed.md").read_text()
    assert page.startswith("# How fast the search is")
    assert (checkout / "docs" / "reports" / "search-speed.svg").read_bytes().startswith(b"<?xml")
    run("search-bench", "--sizes", "80")
    again = json.loads((checkout / "metrics" / "search.json").read_text())
    assert [one for one in again["rows"] if one["size"] == 40] == [
        one for one in result["rows"] if one["size"] == 40
    ]  # measured before, and kept
    assert {one["size"] for one in again["rows"]} == {40, 80} and again["model"] == result["model"]
    assert "expected numbers with commas" in run("search-bench", "--sizes", "x", code=2).stderr
    assert "expected at least" in run("search-bench", "--sizes", "5", code=2).stderr
