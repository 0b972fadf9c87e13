"""The population stability index, and the histograms of scores it compares."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core import artifacts
from sightline.data.questions.triples import Triples
from sightline.inference import drift, out_of_domain, question_detector
from sightline.inference.drift import BINS, DRIFTED, Histogram
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.question_detector import QuestionDetector
from tests.support import tiny

SCORES = st.lists(st.floats(-50, 50) | st.just(math.inf), min_size=1, max_size=300)


@given(SCORES, st.floats(-50, 50))
def test_every_score_is_in_one_bin_and_the_bound_divides_them(scores, bound):
    found = Histogram.of(scores, bound)
    assert sum(found.counts) == len(scores) and len(found.counts) <= BINS + 1
    again = np.bincount([found.bin(score) for score in scores], minlength=len(found.counts))
    assert tuple(again) == found.counts
    assert found.share_above(float(bound)) == pytest.approx(np.mean(np.array(scores) > bound))
    assert found.psi(found.counts) == 0.0


def test_the_index_by_hand():
    known = Histogram(edges=(1.0,), counts=(50, 50))
    p, q = 80.5 / 101, 0.5
    assert known.psi((80, 20)) == pytest.approx((p - q) * math.log(p / q) + (q - p) * math.log((1 - p) / q))


def test_the_same_scores_do_not_drift_and_others_do():
    rng = np.random.default_rng(0)
    known = Histogram.of(rng.normal(size=2000), 2.0)

    def index(scores):
        return known.psi(np.bincount([known.bin(score) for score in scores], minlength=len(known.counts)))

    alike = [index(rng.normal(size=256)) for _ in range(200)]
    # (B - 1) (1/n + 1/N) on average; the half that every bin gets changes it by less than a tenth.
    assert np.mean(alike) == pytest.approx(BINS * (1 / 256 + 1 / 2000), rel=0.1)
    assert max(alike) < DRIFTED < index(rng.normal(1.0, size=256))


@pytest.mark.parametrize(
    "document", [{"edges": [1.0], "counts": [1]}, {"edges": [2.0, 1.0], "counts": [1, 1, 1]},
                 {"edges": [1.0], "counts": [-1, 2]}],
)  # fmt: skip
def test_a_histogram_that_is_none_is_refused(document, tmp_path):
    artifacts.write_json(tmp_path / out_of_domain.BOUND, {"bound": 1.0, "reference": document})
    artifacts.write_json(
        tmp_path / question_detector.FILE, {"bound": 1.0, "pairs": {}, "reference": document}
    )
    with pytest.raises(ValueError, match="questions.json.*index stage"):
        QuestionDetector.load(tmp_path)
    (tmp_path / question_detector.FOLDER).mkdir()
    (tmp_path / out_of_domain.BOUND).rename(tmp_path / question_detector.FOLDER / out_of_domain.BOUND)
    with pytest.raises(ValueError, match="domain.json.*index stage"):
        OODDetector.load(tmp_path)


def test_few_scores_are_no_reference():
    few = np.linspace(0, 1, drift.FEWEST - 1)
    assert drift.reference(few, 0.5) is None
    assert drift.reference([*few, 1.0], 0.5) == Histogram.of([*few, 1.0], 0.5)


def test_fits_keep_the_scores_of_val(tmp_path):
    asked = [f"Is it {word}?" for word in ("red", "blue", "green")] * 100
    for split in ("train", "val"):
        rows = [{"question": question} for question in asked]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = question_detector.fit(Triples(tmp_path, "train"), Triples(tmp_path, "val"), 99.0)
    assert found.reference == Histogram.of([found.score(question) for question in asked], found.bound)
    assert found.reference.psi(found.reference.counts) == 0.0 == found.reference.share_above(found.bound)


def test_detectors_keep_the_scores_of_val_and_do_without(tmp_path):
    reference = Histogram.of([1.0, 2.0, 3.0], 2.5)
    for folder, kept in (("with", reference), ("without", None)):
        (tmp_path / folder).mkdir()
        OODDetector(np.zeros(2), np.eye(2), 2.5, kept).save(tmp_path / folder / question_detector.FOLDER)
        QuestionDetector(tiny.question_detector().pairs, 2.5, kept).save(tmp_path / folder)
        assert OODDetector.load(tmp_path / folder).reference == kept
        assert QuestionDetector.load(tmp_path / folder).reference == kept
    assert "reference" not in (tmp_path / "without" / question_detector.FILE).read_text()
