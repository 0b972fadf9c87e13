"""The gate's variants against values computed by hand, and inside a tiny model."""

import numpy as np
import pytest
import torch

from sightline.spin.controls import RandomHeads, inverse
from sightline_lab.hallucination.gate_variants import GateVariant
from tests.support.spin_step import one_step, tiny_questions

MASSES = [0.9, 0.1, 0.5, 0.3]
TYPICAL = [[0.9, 0.05, 0.8, 0.2]]


def gates(k: int, alpha: float, masses=MASSES, **variant) -> list[float]:
    scores_BHT = torch.tensor(masses)[None, :, None]
    rule = GateVariant(TYPICAL, **variant)
    return rule(scores_BHT, torch.tensor(k), torch.tensor(alpha), 0).flatten().tolist()


def test_without_a_departure_it_is_the_gate():
    assert gates(2, 0.25) == [1.0, 0.25, 1.0, 0.25]


def test_relative_mass_ranks_by_the_share_of_the_usual():
    # 0.9 / 0.9 = 1, 0.1 / 0.05 = 2, 0.5 / 0.8 = 0.625, 0.3 / 0.2 = 1.5
    assert gates(2, 0.0, ranking="relative") == [0.0, 1.0, 0.0, 1.0]


def test_the_inverse_control_suppresses_the_heads_that_look_most():
    assert gates(2, 0.0, ranking="inverse") == [0.0, 1.0, 0.0, 1.0]


def test_question_readers_are_neither_ranked_nor_suppressed():
    assert gates(1, 0.0, protect=0.3) == [1.0, 1.0, 0.0, 1.0]  # heads 1 and 3 are protected
    assert gates(2, 0.0, protect=0.1) == [1.0, 1.0, 1.0, 0.0]
    assert gates(1, 0.0, protect=0.3, ranking="inverse") == [0.0, 1.0, 1.0, 1.0]
    assert GateVariant(TYPICAL, protect=0.3).rankable() == [2]


def test_rescaled_gates_have_a_mean_of_one():
    assert gates(2, 0.0, rescale=True) == pytest.approx([2.0, 0.0, 2.0, 0.0])
    assert gates(2, 0.5, rescale=True) == pytest.approx([4 / 3, 2 / 3, 4 / 3, 2 / 3])
    assert gates(4, 0.0, rescale=True) == [1.0, 1.0, 1.0, 1.0]


def test_a_soft_gate_follows_the_score_below_the_last_kept():
    assert gates(2, 0.0, soft=True) == pytest.approx([1.0, 0.2, 1.0, 0.6])  # 0.1 / 0.5 and 0.3 / 0.5
    assert gates(2, 0.5, soft=True) == pytest.approx([1.0, 0.6, 1.0, 0.8])


@pytest.mark.parametrize("protect", [0.0, 0.3])
def test_rankings_of_the_controls_are_the_controls(protect):
    draw = torch.Generator().manual_seed(1)
    scores_BHT, k, alpha = torch.rand(5, 4, 3, generator=draw), torch.tensor(2), torch.tensor(0.5)
    same = protect == 0.0
    for ranking, rule in (("random", RandomHeads(3)), ("inverse", inverse)):
        variant = GateVariant(TYPICAL, ranking, protect, seed=3)
        assert torch.equal(variant(scores_BHT, k, alpha, 0), rule(scores_BHT, k, alpha, 0)) == same


def test_unknown_rankings_are_refused():
    with pytest.raises(ValueError, match="choose one of own, relative, inverse, random"):
        GateVariant(TYPICAL, ranking="best")


@pytest.fixture(scope="module")
def questions():
    return tiny_questions()


def test_a_model_takes_variants_at_run_time(questions):
    typical = [[0.5] * 4] * 2
    plain, halved = one_step(questions), one_step(questions, (2, 2), 0.0)
    same = one_step(questions, spin_rule=GateVariant(typical, rescale=True))
    np.testing.assert_array_equal(plain.logits_BTV, same.logits_BTV)
    rescaled = one_step(questions, (2, 2), 0.0, spin_rule=GateVariant(typical, rescale=True))
    np.testing.assert_allclose(rescaled.gates_LBHT[0], 2 * halved.gates_LBHT[0])
    assert np.abs(rescaled.logits_BTV - halved.logits_BTV).max() > 1e-3
    protected = one_step(questions, (1, 1), 0.0, spin_rule=GateVariant(typical, protect=0.6))
    np.testing.assert_array_equal(plain.logits_BTV, protected.logits_BTV)
