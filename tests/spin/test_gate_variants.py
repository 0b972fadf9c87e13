"""The gate's variants and PAI's attention against values computed by hand, and inside a tiny model."""

import numpy as np
import pytest
import torch

from sightline.inference.torch_engine import TorchEngine
from sightline.spin import gate
from sightline.spin.gate import Variant
from tests.support import tiny

MASSES = [0.9, 0.1, 0.5, 0.3]
TYPICAL = [[0.9, 0.05, 0.8, 0.2]]


def gates(k: int, alpha: float, masses=MASSES, **variant) -> list[float]:
    scores_BHT = torch.tensor(masses)[None, :, None]
    chosen = Variant(TYPICAL, **variant)
    return gate.varied_gate(scores_BHT, torch.tensor(k), torch.tensor(alpha), chosen, 0).flatten().tolist()


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
    assert Variant(TYPICAL, protect=0.3).rankable() == [2]


def test_rescaled_gates_have_a_mean_of_one():
    assert gates(2, 0.0, rescale=True) == pytest.approx([2.0, 0.0, 2.0, 0.0])
    assert gates(2, 0.5, rescale=True) == pytest.approx([4 / 3, 2 / 3, 4 / 3, 2 / 3])
    assert gates(4, 0.0, rescale=True) == [1.0, 1.0, 1.0, 1.0]


def test_a_soft_gate_follows_the_score_below_the_last_kept():
    assert gates(2, 0.0, soft=True) == pytest.approx([1.0, 0.2, 1.0, 0.6])  # 0.1 / 0.5 and 0.3 / 0.5
    assert gates(2, 0.5, soft=True) == pytest.approx([1.0, 0.6, 1.0, 0.8])


def test_random_gates_are_seeded_keep_k_and_ignore_neighbours():
    draw = torch.Generator().manual_seed(0)
    scores_BHT = torch.rand(64, 8, 3, generator=draw)

    def drawn(scores, seed=0, layer=0):
        variant = Variant([[0.5] * 8] * 2, ranking="random", seed=seed)
        return gate.varied_gate(scores, torch.tensor(4), torch.tensor(0.0), variant, layer)

    found = drawn(scores_BHT)
    assert torch.equal(found, drawn(scores_BHT))
    assert torch.equal(found[5:6], drawn(scores_BHT[5:6]))
    assert (found.sum(1) == 4).all()
    assert (found != drawn(scores_BHT, seed=1)).any() and (found != drawn(scores_BHT, layer=1)).any()
    # Every head is kept in half of 192 draws: 5 deviations are 0.18. Rank by mass would be correlated.
    assert ((found.mean((0, 2)) - 0.5).abs() < 0.18).all()
    by_mass = gate.gate(scores_BHT, torch.tensor(4), torch.tensor(0.0))
    assert abs(float((found == by_mass).float().mean()) - 0.5) < 0.07


def test_unknown_rankings_are_refused():
    with pytest.raises(ValueError, match="choose one of own, relative, inverse, random"):
        Variant(TYPICAL, ranking="best")


def test_amplified_logits_by_hand():
    logits_BHTM = torch.tensor([[[[1.0, -2.0, 3.0]]]])
    found = gate.amplified(logits_BHTM, torch.tensor([[True, True, False]]), 0.5)
    assert found.flatten().tolist() == [1.5, -1.0, 3.0]


@pytest.fixture(scope="module")
def asked():
    tokenizer = tiny.tokenizer()
    vlm, _ = tiny.models(tokenizer.size)
    ids_BT, mask_BT = tokenizer.batch(list(tiny.QUESTIONS), tiny.MAX_QUESTION, pad_to=tiny.MAX_QUESTION)
    pixels = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    return vlm, pixels, ids_BT, mask_BT


def step(asked, k=(4, 4), alpha=1.0, memory=None, **engine):
    vlm, pixels, ids_BT, mask_BT = asked
    engine = TorchEngine(vlm, None, **engine)
    if memory is None:
        memory = engine.memory(engine.image_tokens(pixels), ids_BT, mask_BT)
    return engine.step(np.array([[3], [4], [5], [6]]), None, memory, np.array(k), alpha, True)


def test_a_model_takes_variants_at_run_time(asked):
    typical = [[0.5] * 4] * 2
    plain, halved = step(asked), step(asked, (2, 2), 0.0)
    same = step(asked, spin_variant=Variant(typical, rescale=True))
    np.testing.assert_array_equal(plain.logits_BTV, same.logits_BTV)
    rescaled = step(asked, (2, 2), 0.0, spin_variant=Variant(typical, rescale=True))
    np.testing.assert_allclose(rescaled.gates_LBHT[0], 2 * halved.gates_LBHT[0])
    assert np.abs(rescaled.logits_BTV - halved.logits_BTV).max() > 1e-3
    protected = step(asked, (1, 1), 0.0, spin_variant=Variant(typical, protect=0.6))
    np.testing.assert_array_equal(plain.logits_BTV, protected.logits_BTV)


def test_pai_looks_more_at_the_image_and_zero_strength_changes_no_bit(asked):
    plain, none, some = step(asked), step(asked, amplify=0.0), step(asked, amplify=0.5)
    np.testing.assert_array_equal(plain.logits_BTV, none.logits_BTV)
    patches = plain.maps_LBHTM.shape[-1] - tiny.MAX_QUESTION
    before, after = (found.maps_LBHTM[0, ..., :patches].sum(-1) for found in (plain, some))
    assert (after > before).all()


def test_without_an_image_the_answer_depends_on_the_question_alone(asked):
    vlm, pixels, ids_BT, mask_BT = asked
    engine = TorchEngine(vlm, None)
    seen = engine.memory(engine.image_tokens(pixels), ids_BT, mask_BT)
    alone = engine.memory_without_image(ids_BT, mask_BT)
    assert alone.cross_k.shape == seen.cross_k.shape and not alone.image_BM.any()
    assert alone.mask_BM.sum() == mask_BT.sum()
    without = step(asked, memory=alone)
    assert without.maps_LBHTM[..., : -tiny.MAX_QUESTION].max() == 0.0
    np.testing.assert_array_equal(without.logits_BTV, step(asked, memory=alone, amplify=0.5).logits_BTV)
