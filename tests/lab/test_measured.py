"""`sightline lab retrieval`, `search-bench` and `monitoring` over a tiny bundle: what they write, what they
refuse."""

import json
import shutil

import numpy as np
import pytest

from sightline.core.artifacts import read_json, write_json
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.evaluate.metrics.chair import Lexicon
from sightline.inference.session import Session
from sightline_lab.monitoring import monitoring_page, monitoring_study
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


def test_what_monitoring_is_worth_is_measured(run, checkout):
    run("monitoring", "--items", "6")
    result = read_json(checkout / monitoring_page.RESULT)
    assert [row["condition"] for row in result["conditions"]][0] == "test" and len(result["conditions"]) == 7
    assert all(0 <= row["doubtful"] <= 100 and row["psi_picture"] >= 0 for row in result["conditions"])
    (split,) = result["splits"]  # there is no shift_test
    assert (split["pictures"], split["invented"]) == (6, 0) and split["auroc"]["object word"] is None
    page = (checkout / monitoring_page.PAGE).read_text()
    assert "**No proxy is earned**: AUROC of the one that is served is not known on `test`" in page


def test_a_proxy_is_earned_where_its_interval_lies_above_chance():
    result = read_json(ROOT / monitoring_page.RESULT)
    assert "Doubtful descriptions are a proxy" in monitoring_page.page(result)
    for one in result["splits"]:
        one["auroc"]["object word"] = {"value": 60.0, "low": 49.0, "high": 71.0}
    assert (
        "**No proxy is earned**: AUROC of the one that is served is 60.0 [49.0, 71.0]"
        in monitoring_page.page(result)
    )


def test_a_bundle_without_scores_of_val_is_refused(bundle, checkout):
    session = Session.load(bundle)
    session.object_words = None
    study = monitoring_study.Study(checkout / "data" / "raw", checkout / "data" / "vqa", 6, 50, 0)
    with pytest.raises(ValueError, match="keeps no scores of val; rerun the index stage"):
        monitoring_study.run(session, study, print)


def test_signs_are_those_of_the_descriptions(bundle):
    session = Session.load(bundle)
    images = [np.full((40, 44, 3), (0, 0, 255), np.uint8), tiny.pictures(1)[0]]
    lexicon = Lexicon({"there": ["there"]})  # what the tiny model says of the first
    present = [{"ball"}, {"ball"}]
    found = monitoring_study.describe(session, session.object_words, images, present, lexicon, maps=True)
    assert found.invented_N.tolist() == [True, False]
    answer = session.answer(images[:1], [DESCRIBE])[0]
    assert found.least_N.tolist() == [answer.object_probability, 1.0] and found.least_N[0] < 1.0
    assert found.signs["mean token"][0] == pytest.approx(-np.log(answer.probability))
    assert all(-1 <= share <= 0 for share in found.signs["attention to the picture"])
