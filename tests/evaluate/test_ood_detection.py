"""AUROC against its definition, the drawn pictures, and the rows of a scripted scorer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.params.generation import SPIN_OFF
from sightline.data.questions.triples import Triples
from sightline.evaluate import collect_predictions, foreign_questions, ood_detection
from sightline.inference import question_detector
from sightline.inference.bundle_settings import greedy_generation
from tests.support import scripted

SCORES = st.lists(st.integers(0, 6), min_size=1, max_size=15)


@given(SCORES, SCORES)
def test_auroc_is_the_share_of_pairs_in_order(in_domain, ood):
    pairs = [(a < b) + (a == b) / 2 for a in in_domain for b in ood]
    assert ood_detection.auroc(np.array(in_domain), np.array(ood)) == pytest.approx(100 * np.mean(pairs))


@pytest.mark.parametrize("kind", ood_detection.KINDS)
def test_drawn_pictures_are_the_same_every_time(kind):
    pictures = [scripted.picture(number) for number in range(3)]
    first, again = (
        list(ood_detection.draw(kind, iter(pictures), np.random.default_rng(5))) for _ in range(2)
    )
    assert len(first) == (3 if kind == "inverted" else ood_detection.PER_KIND)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.uint8 and one.shape[2] == 3
    if kind == "inverted":
        assert first[2][0, 0].tolist() == [253, 248, 246]
    else:
        assert len({picture.tobytes() for picture in first}) > ood_detection.PER_KIND // 2


def reds(pictures):
    """Scores by the first red value: the data set's pictures have 0 to 5."""
    return np.array([float(rgb[0, 0, 0]) for rgb in pictures])


def test_rows(tmp_path):
    raw, vqa = scripted.build(tmp_path)
    params = scripted.evaluate_params(splits=("test", "train"), bootstrap=50)
    setting = collect_predictions.Setting(raw, vqa, params, greedy_generation(16), SPIN_OFF, 7)
    rows = ood_detection.picture_rows(reds, 4.0, setting)
    by_key = {(row["split"], row["type"], row["metric"]): row for row in rows}
    assert by_key["test", "own pictures", "false_alarm"]["value"] == pytest.approx(100 / 6, abs=1e-3)
    assert by_key["train", "own pictures", "false_alarm"]["n"] == 6
    assert (by_key["test", "inverted", "warned"]["value"], by_key["test", "inverted", "warned"]["n"]) == (
        100,
        6,
    )
    assert by_key["test", "inverted", "auroc"]["value"] == 100
    assert by_key["test", "all drawn", "warned"]["n"] == 6 + 4 * ood_detection.PER_KIND
    assert ("train", "noise", "auroc") not in by_key
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_rows_of_questions(tmp_path):
    raw, vqa = scripted.build(tmp_path)
    setting = collect_predictions.Setting(
        raw, vqa, scripted.evaluate_params(splits=("test", "train"), bootstrap=50), greedy_generation(16),
        SPIN_OFF, 7,
    )  # fmt: skip
    detector = question_detector.fit(Triples(vqa, "train"), Triples(vqa, "test"), 100.0)
    rows = ood_detection.question_rows(detector, "de", setting)
    by_key = {(row["split"], row["type"], row["metric"]): row for row in rows}
    assert by_key["test", "own questions", "false_alarm"]["value"] == 0
    assert by_key["train", "own questions", "false_alarm"]["n"] == len(Triples(vqa, "train"))
    for kind in ("other topics", "other languages", "random letters"):
        assert (by_key["test", kind, "warned"]["value"], by_key["test", kind, "auroc"]["value"]) == (100, 100)
    others = sum(len(asked) for code, asked in foreign_questions.EVERYDAY.items() if code != "de")
    assert by_key["test", "other languages", "warned"]["n"] == others
    assert ("train", "other topics", "warned") not in by_key


def test_foreign_questions_are_foreign_and_the_same_every_time():
    own = ["Is there a red ball?", "What is it?", "Is it?"]
    drawn = [
        [
            foreign_questions.draw(kind, "en", own, np.random.default_rng(3))
            for kind in foreign_questions.KINDS
        ]
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    _, _, shuffled, letters = drawn[0]
    plain = {tuple(question_detector.words(question)) for question in own}
    assert len(shuffled) == 2 and not plain & {tuple(question.split()) for question in shuffled}
    long = [sorted(read) for read in plain if len(read) > 2]
    assert sorted(long) == sorted(sorted(question.split()) for question in shuffled)
    assert len(letters) == foreign_questions.DRAWN
    assert foreign_questions.draw("other topics", "nl", own, np.random.default_rng(3)) == []


def test_comparison_with_someones_pictures():
    in_domain, ood = ([scripted.picture(number) for number in numbers] for numbers in ((1, 2, 3, 4), (3, 9)))
    report = ood_detection.compare(reds, 3.5, iter(in_domain), iter(ood))
    assert (report["pictures"], report["own_pictures"]) == (2, 4)
    assert (report["warned"]["value"], report["false_alarm"]["value"]) == (50, 25)
    assert report["auroc"]["value"] == pytest.approx(100 * (2.5 + 4) / 8)
