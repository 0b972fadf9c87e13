"""Contrastive decoding: values by hand, and where it must be greedy decoding."""

import numpy as np
import pytest

from sightline.inference.decoding import contrastive, greedy, sampling
from sightline.inference.engine import DecodingInputs, take_memory
from tests.support.toy_engine import ToyEngine, toy_memory

INPUTS = DecodingInputs(bos=1, eos=2, max_tokens=6, k_L=np.array([4, 4]), alpha=1.0)


def ids(generations):
    return [generation.ids for generation in generations]


def test_scores_by_hand():
    own_BV = np.log([[0.5, 0.4, 0.09, 0.01]])
    other_BV = np.log([[0.8, 0.1, 0.05, 0.05]])
    found_V = contrastive.contrasted(own_BV, other_BV, strength=1.0, plausible=0.1)[0]
    # 2 log p - log q: p^2 / q is 0.3125, 1.6 and 0.162; the last token is below a tenth of 0.5
    assert np.exp(found_V) == pytest.approx([0.25 / 0.8, 0.16 / 0.1, 0.0081 / 0.05, 0.0])
    assert found_V.argmax() == 1
    only = contrastive.contrasted(own_BV, other_BV, strength=1.0, plausible=1.0)[0]
    assert only.argmax() == 0 and np.isinf(only[1:]).all()


def test_no_strength_or_no_difference_is_greedy():
    engine = ToyEngine(sharpness=1.0)
    memory = toy_memory(engine)
    other = take_memory(memory, np.array([4, 3, 2, 1, 0]))
    plain = greedy.generate(engine, memory, inputs=INPUTS)
    same = contrastive.generate(engine, memory, other, strength=0.0, plausible=0.1, inputs=INPUTS)
    assert ids(same) == ids(plain)
    assert [g.logprobs for g in same] == [pytest.approx(g.logprobs) for g in plain]
    assert ids(
        contrastive.generate(engine, memory, memory, strength=1.0, plausible=0.1, inputs=INPUTS)
    ) == ids(plain)
    strong = contrastive.generate(engine, memory, other, strength=3.0, plausible=1e-3, inputs=INPUTS)
    assert ids(strong) != ids(plain)


def test_a_row_does_not_feel_its_neighbours():
    engine = ToyEngine(sharpness=1.0)
    memory = toy_memory(engine)
    other = take_memory(memory, np.array([4, 3, 2, 1, 0]))
    knobs = {"strength": 3.0, "plausible": 1e-3, "inputs": INPUTS}
    together = contrastive.generate(engine, memory, other, **knobs)
    alone = (take_memory(view, np.array([3])) for view in (memory, other))
    assert ids(contrastive.generate(engine, *alone, **knobs)) == ids(together[3:4])


def test_tokens_drawn_without_strength_are_a_sample():
    engine = ToyEngine(sharpness=0.5)
    memory = toy_memory(engine)
    other = take_memory(memory, np.array([4, 3, 2, 1, 0]))

    def rngs():
        return [np.random.default_rng([9, row]) for row in range(5)]

    def drawn(strength):
        pick = sampling.token_sampler(rngs(), 1.0, 1.0)
        both = {"strength": strength, "plausible": 1e-9}
        return ids(contrastive.generate(engine, memory, other, pick=pick, **both, inputs=INPUTS))

    assert drawn(0.0) == ids(sampling.generate(engine, memory, generators=rngs(), inputs=INPUTS))
    assert drawn(2.0) != drawn(0.0)


def test_what_is_implausible_is_never_drawn():
    scores_BV = contrastive.contrasted(np.log([[0.5, 0.46, 0.04]]), np.log([[0.9, 0.05, 0.05]]), 1.0, 0.1)
    pick = sampling.token_sampler([np.random.default_rng(0)], 5.0, 1.0)
    assert {int(pick(scores_BV)[0]) for _ in range(300)} == {0, 1}


def test_noise_is_seeded_and_grows():
    picture_CYX = np.full((3, 32, 32), 2.0, np.float32)

    def noised(step, seed=0):
        return contrastive.noised(picture_CYX, step, np.random.default_rng(seed))

    assert noised(0) is picture_CYX
    np.testing.assert_array_equal(noised(500), noised(500))
    assert (noised(500) != noised(500, seed=1)).any()
    means = [float(noised(step).mean()) for step in (100, 500, 1000)]
    assert means[0] > means[1] > means[2]
    betas = [1e-5 + (5e-3 - 1e-5) / (1 + np.exp(6 - 12 * n / 999)) for n in range(1000)]
    kept = np.exp(sum(np.log1p(-beta) for beta in betas[:500]))
    # 3,072 draws: their mean has a deviation of sqrt(1 - kept) / 55
    assert means[1] == pytest.approx(2.0 * np.sqrt(kept), abs=0.05)
    assert noised(1000).std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("bad", [{"strength": -1.0, "plausible": 0.1}, {"strength": 1.0, "plausible": 0.0}])
def test_impossible_settings_are_refused(bad):
    engine = ToyEngine()
    memory = toy_memory(engine)
    with pytest.raises(ValueError, match="contrast: strength must be at least 0"):
        contrastive.generate(engine, memory, memory, **bad, inputs=INPUTS)
    with pytest.raises(ValueError, match="noise step must be in 0..1000, got 1001"):
        contrastive.noised(np.zeros((3, 2, 2)), 1001, np.random.default_rng(0))
