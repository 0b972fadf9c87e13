"""The random-head and inverse controls by hand, and inside a tiny model."""

import numpy as np
import pytest
import torch

from sightline.spin import gate
from sightline.spin.controls import RandomHeads, inverse
from tests.support.spin_step import one_step, tiny_questions


def test_the_inverse_control_suppresses_the_heads_that_look_most():
    scores_BHT = torch.tensor([0.9, 0.1, 0.5, 0.3])[None, :, None]
    found = inverse(scores_BHT, torch.tensor(2), torch.tensor(0.25), 0)
    assert found.flatten().tolist() == [0.25, 1.0, 0.25, 1.0]


def test_random_gates_are_seeded_keep_k_and_ignore_neighbours():
    draw = torch.Generator().manual_seed(0)
    scores_BHT = torch.rand(64, 8, 3, generator=draw)

    def drawn(scores, seed=0, layer=0):
        return RandomHeads(seed)(scores, torch.tensor(4), torch.tensor(0.0), layer)

    found = drawn(scores_BHT)
    assert torch.equal(found, drawn(scores_BHT))
    assert torch.equal(found[5:6], drawn(scores_BHT[5:6]))
    assert (found.sum(1) == 4).all()
    assert (found != drawn(scores_BHT, seed=1)).any() and (found != drawn(scores_BHT, layer=1)).any()
    # Every head is kept in half of 192 draws: 5 deviations are 0.18. Rank by mass would be correlated.
    assert ((found.mean((0, 2)) - 0.5).abs() < 0.18).all()
    by_mass = gate.gate(scores_BHT, torch.tensor(4), torch.tensor(0.0))
    assert abs(float((found == by_mass).float().mean()) - 0.5) < 0.07


@pytest.fixture(scope="module")
def questions():
    return tiny_questions()


@pytest.mark.parametrize("rule", [RandomHeads(1), inverse], ids=["random", "inverse"])
def test_a_model_decodes_under_a_control(questions, rule):
    """As many heads are suppressed as by the published rule, but others; all heads kept changes no bit."""
    plain, spin = one_step(questions), one_step(questions, (2, 2), 0.0)
    control = one_step(questions, (2, 2), 0.0, spin_rule=rule)
    assert (control.gates_LBHT.sum(2) == spin.gates_LBHT.sum(2)).all()
    assert (control.gates_LBHT != spin.gates_LBHT).any()
    off = one_step(questions, (4, 4), 0.0, spin_rule=rule)
    np.testing.assert_array_equal(plain.logits_BTV, off.logits_BTV)
