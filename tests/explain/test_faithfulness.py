"""Figures of a map against values by hand and known properties."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core import artifacts, registry
from sightline.core.preprocessing import Preprocessing
from sightline.explain import faithfulness
from sightline.explain.heatmap import of_word
from sightline_lab.faithfulness import faithfulness_page

ROOT = Path(__file__).resolve().parents[2]


def heat(patch_scores, shape=(16, 16)):
    seen = Preprocessing.plain(16, [0.5] * 3, [0.25] * 3).seen(*shape)
    return of_word("m", "red", seen, patch_scores, [("what", 1.0)])


def corner():
    scores = np.zeros((4, 4))
    scores[0, 3] = 1.0
    return heat(scores)


def test_the_pointing_game_wants_the_maximum_in_the_box():
    assert faithfulness.pointing(corner(), (12, 0, 16, 4))
    assert not faithfulness.pointing(corner(), (0, 0, 12, 16))


def test_pointing_knows_which_part_of_a_wide_picture_was_seen():
    scores = np.zeros((4, 4))
    scores[0, 0] = 1.0  # upper left of the middle square
    found = heat(scores, (16, 32))
    assert faithfulness.pointing(found, (8, 0, 12, 4))
    assert not faithfulness.pointing(found, (0, 0, 8, 16))


def test_mass_inside():
    assert faithfulness.mass_inside(heat(np.ones((4, 4))), (0, 0, 8, 16)) == pytest.approx(0.5)
    assert faithfulness.mass_inside(corner(), (0, 0, 16, 16)) == pytest.approx(1)
    assert faithfulness.mass_inside(heat(np.zeros((4, 4))), (0, 0, 16, 16)) == 0


def test_deletion_takes_the_highest_first_and_insertion_puts_it_in_first():
    scores = np.arange(256.0).reshape(16, 16)
    deleted = faithfulness.presence(scores, 16, first=True)
    inserted = faithfulness.presence(scores, 16, first=False)
    assert deleted[0].all() and not deleted[-1].any()
    np.testing.assert_array_equal(deleted + inserted, 1)  # what one has, the other has not
    assert (np.diff(deleted.reshape(len(deleted), -1).sum(axis=1)) < 0).all()
    assert deleted[1, 0, 0] == 1 and deleted[1, -1, -1] == 0


def test_a_true_map_deletes_better_than_a_false_one():
    """The answer is the share of the upper left quarter that is there."""
    true, false = np.zeros((4, 4)), np.ones((4, 4))
    true[:2, :2], false[:2, :2] = 1, 0

    def ask(there):
        return there[:, :8, :8].mean(axis=(1, 2))

    good, bad = (faithfulness.deletion_insertion(heat(scores), ask, 16) for scores in (true, false))
    assert good[0] < 0.2 < 0.8 < bad[0] and good[1] > 0.8 > 0.2 > bad[1]


def test_area():
    assert faithfulness.area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert faithfulness.area(np.ones(11)) == pytest.approx(1)


def test_rank_correlation_by_hand():
    one = np.array([1.0, 2.0, 3.0, 4.0])
    assert faithfulness.rank_correlation(one, one**3) == pytest.approx(1)
    assert faithfulness.rank_correlation(one, -one) == pytest.approx(-1)
    assert faithfulness.rank_correlation(one, np.ones(4)) == 0
    # Ties share their mean rank: ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4.
    assert faithfulness.rank_correlation(np.array([5.0, 5.0, 6.0, 7.0]), one) == pytest.approx(0.9486833)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=3, max_size=20), st.integers(0, 2**16))
def test_rank_correlation_is_that_of_scipys_definition(values, seed):
    """Pearson's correlation of mean ranks, symmetric, unmoved by monotone maps."""
    one = np.array(values, dtype=float)
    other = np.random.default_rng(seed).integers(-5, 5, len(values)).astype(float)
    found = faithfulness.rank_correlation(one, other)
    assert -1 - 1e-9 <= found <= 1 + 1e-9
    assert found == pytest.approx(faithfulness.rank_correlation(other, one))
    assert found == pytest.approx(faithfulness.rank_correlation(np.exp(one), other))


def test_sign_flip_p():
    draw = np.random.default_rng(0)
    assert faithfulness.sign_flip_p(np.full(20, 0.1), draw) < 0.001
    assert faithfulness.sign_flip_p(np.full(20, -0.1), draw) == pytest.approx(1)
    assert faithfulness.sign_flip_p(np.array([1.0, 1.0, 1.0]), draw) == pytest.approx(1 / 8, abs=0.02)


def test_wilson_by_hand():
    low, high = faithfulness.wilson(0.5, 100)
    assert (low, high) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))
    assert faithfulness.wilson(1.0, 20) == (pytest.approx(0.8389, abs=1e-4), pytest.approx(1.0))


def test_the_page_is_made_from_the_committed_figures():
    result = artifacts.read_json(ROOT / "metrics" / "faithfulness.json")
    written = (ROOT / "docs" / "reports" / "explanations.md").read_text(encoding="utf-8")
    assert written == faithfulness_page.page(result)
    assert set(result["methods"]) == set(registry.names("explain/methods"))
