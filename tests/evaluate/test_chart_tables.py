"""The bars of `dvc plots diff`: which figures, in which order, never more than a dozen."""

import csv

import pytest

from sightline.evaluate import chart_tables


def row(split, kind, metric, value, variant="shipped", spin="off"):
    return {"split": split, "variant": variant, "spin": spin, "type": kind, "metric": metric, "value": value,
            "low": "1", "high": "99", "n": "5"}  # fmt: skip


def figures(kinds: list[str]) -> dict[str, list[dict[str, str]]]:
    splits = ("shift_test", "test")
    accuracy = [row(split, kind, "accuracy", "50.0") for split in splits for kind in ("all", *kinds)]
    reranked = [
        row("test", "all", "accuracy", "10.0", "fp32"),
        row("test", "all", "accuracy", "20.0", spin="on"),
    ]
    ranks = [
        f"{direction}{order}"
        for direction in ("text_to_image", "image_to_text")
        for order in ("", "_reranked", "_described")
    ]
    return {
        "vqa": reranked + accuracy,
        "pope": [
            row("test", kind, "false_positive_rate", "2.0") for kind in ("adversarial", "popular", "random")
        ],
        "chair": [row(s, "describe", m, "3.0") for s in splits for m in ("chair_i", "chair_s", "recall")],
        "caption": [row("test", "describe", "bleu_4", "66.0")],
        "retrieval": [
            row(s, kind, f"r{k}", "80.0", spin="") for s in splits for kind in ranks for k in (1, 5, 10)
        ],
        "calibration": [row("test", "yes/no", "ece", "0.7")],
        "abstention": [],
        "domain": [],
    }


def read(folder, name) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / f"{name}.csv").open(encoding="utf-8")))


def test_charts_hold_the_shipped_variant_without_spin(tmp_path):
    chart_tables.write(figures(["color", "count"]), "off", tmp_path)
    answers = read(tmp_path, "answers")
    names = ["short answers, all", "color", "count", "shift_test: short answers, all"]
    assert [line["figure"] for line in answers] == names
    assert answers[0] == {"figure": "short answers, all", "value": "50.0", "low": "1", "high": "99"}
    invented = [line["figure"] for line in read(tmp_path, "hallucination")]
    assert (
        invented[0] == "CHAIR_i, of objects named" and invented[-1] == "shift_test: CHAIR_i, of objects named"
    )
    assert [line["figure"] for line in read(tmp_path, "calibration")] == [
        "yes/no, expected calibration error"
    ]
    assert {path.stem for path in tmp_path.iterdir()} == set(chart_tables.CHARTS)


@pytest.mark.parametrize("name", chart_tables.CHARTS)
def test_a_chart_has_at_most_a_dozen_rows_and_names_none_twice(tmp_path, name):
    chart_tables.write(figures([f"kind {n}" for n in range(20)]), "off", tmp_path)
    names = [line["figure"] for line in read(tmp_path, name)]
    assert names and len(names) <= 12 and len(set(names)) == len(names)
