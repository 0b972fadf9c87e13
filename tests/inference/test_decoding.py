"""Every decoding method against brute force on a numpy toy engine."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.inference.decoding import beam, greedy, sampling
from sightline.inference.engine import DecodingInputs, GeneratedTokens, log_softmax, take_memory
from tests.support.toy_engine import ToyEngine, toy_memory

BOS, EOS = 2, 3


def inputs_of(engine, keep=None, alpha=1.0, max_tokens=6):
    k_L = np.full(engine.layers, keep or engine.heads, dtype=np.int64)
    return DecodingInputs(BOS, EOS, max_tokens, k_L, alpha)


def prefill_logprobs(engine, memory, row, ids, inputs):
    """The log-probability of every token of `ids` from one call over the whole prefix: no cache, no loop."""
    alone = take_memory(memory, np.array([row]))
    step = engine.step(np.array([[BOS, *ids[:-1]]]), None, alone, inputs.k_L, inputs.alpha, False)
    return [log_softmax(step.logits_BTV[0])[t, token] for t, token in enumerate(ids)]


@pytest.mark.parametrize("keep,alpha", [(4, 1.0), (2, 0.5), (1, 0.0)])
def test_greedy_takes_the_likeliest_token_of_an_uncached_forward_pass(keep, alpha):
    engine = ToyEngine()
    memory = toy_memory(engine)
    inputs = inputs_of(engine, keep, alpha)
    answers = greedy.generate(engine, memory, inputs=inputs)
    assert len(answers) > 1
    for row, answer in enumerate(answers):
        tokens = answer.ids + [EOS] * answer.finished
        alone = take_memory(memory, np.array([row]))
        step = engine.step(np.array([[BOS, *tokens[:-1]]]), None, alone, inputs.k_L, alpha, False)
        assert tokens == step.logits_BTV[0].argmax(-1).tolist()
        # The toy engine works in float32: eight additions of order-1 numbers stay within 1e-5.
        np.testing.assert_allclose(
            answer.logprobs, prefill_logprobs(engine, memory, row, tokens, inputs), atol=1e-5
        )


def test_k_and_alpha_are_run_time_inputs():
    engine = ToyEngine(seed=3)
    memory = toy_memory(engine)
    plain = greedy.generate(engine, memory, inputs=inputs_of(engine))
    full = greedy.generate(engine, memory, inputs=inputs_of(engine, engine.heads, 0.0))
    gated = greedy.generate(engine, memory, inputs=inputs_of(engine, 1, 0.0))
    assert [g.logprobs for g in plain] == [g.logprobs for g in full]
    assert [g.logprobs for g in plain] != [g.logprobs for g in gated]


def test_the_batch_keeps_its_shape_and_rows_do_not_feel_their_neighbours():
    engine = ToyEngine()
    memory = toy_memory(engine, batch=6)
    together = greedy.generate(engine, memory, inputs=inputs_of(engine))
    assert engine.calls["shapes"] == {(6, 1)}
    for row in range(6):
        others = take_memory(memory, np.array([row] + [(row + 3) % 6] * 5))
        alone = greedy.generate(engine, others, rows=1, inputs=inputs_of(engine))
        assert len(alone) == 1 and alone[0].ids == together[row].ids
        assert alone[0].logprobs == together[row].logprobs


def test_padding_rows_do_not_keep_the_loop_running():
    engine = ToyEngine()
    memory = toy_memory(engine)
    answers = greedy.generate(engine, memory, rows=2, inputs=inputs_of(engine, max_tokens=50))
    assert len(answers) == 2
    longest = max(len(answer.logprobs) for answer in answers)
    assert engine.calls["step"] == longest


def test_maps_and_gates_come_one_per_written_token_and_only_when_asked():
    engine = ToyEngine()
    memory = toy_memory(engine)
    for answer in greedy.generate(engine, memory, need_maps=True, inputs=inputs_of(engine, 2, 0.5)):
        if answer.ids:
            assert answer.maps_LHTM.shape == (2, 4, len(answer.ids), memory.mask_BM.shape[1])
            np.testing.assert_allclose(answer.maps_LHTM.sum(-1), 1.0, atol=1e-5)  # softmax rows, float32
            assert sorted(np.unique(answer.gates_LHT).tolist()) == [0.5, 1.0]
            assert (answer.gates_LHT == 1.0).sum() == 2 * 2 * len(answer.ids)
    assert all(a.maps_LHTM is None for a in greedy.generate(engine, memory, inputs=inputs_of(engine)))


def test_sampling_is_reproducible_and_a_row_draws_alone():
    engine = ToyEngine(sharpness=0.5)
    memory = toy_memory(engine)
    draw = lambda rows: [np.random.default_rng([9, row]) for row in rows]  # noqa: E731
    first = sampling.generate(engine, memory, generators=draw(range(5)), inputs=inputs_of(engine))
    again = sampling.generate(engine, memory, generators=draw(range(5)), inputs=inputs_of(engine))
    assert first == again
    moved = take_memory(memory, np.array([3, 0, 1, 2, 4]))
    alone = sampling.generate(engine, moved, generators=draw([3]), inputs=inputs_of(engine))
    assert alone == [first[3]]


def test_a_cold_or_narrow_sample_is_greedy():
    engine = ToyEngine(sharpness=0.5)
    memory = toy_memory(engine)
    expected = [g.ids for g in greedy.generate(engine, memory, inputs=inputs_of(engine))]
    for cold in ({"temperature": 1e-4}, {"top_p": 1e-9}):
        rngs = [np.random.default_rng(row) for row in range(5)]
        got = sampling.generate(engine, memory, generators=rngs, **cold, inputs=inputs_of(engine))
        assert [g.ids for g in got] == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0))
def test_the_nucleus_is_the_smallest_set_that_holds_top_p(seed, top_p):
    generator = np.random.default_rng(seed)
    logprobs = log_softmax(generator.normal(size=(1, 9)) * 2)[0]
    order = np.argsort(-logprobs, kind="stable")
    held = np.cumsum(np.exp(logprobs[order]))
    nucleus = set(order[: int(np.sum(held < top_p * held[-1])) + 1].tolist())
    drawn = {
        sampling.sample_token(logprobs, float(u), 1.0, top_p) for u in np.linspace(0, 1, 400, endpoint=False)
    }
    assert drawn <= nucleus


def test_sampling_follows_the_distribution():
    logprobs = np.log(np.array([0.5, 0.3, 0.2]))
    drawn = [sampling.sample_token(logprobs, u, 1.0, 1.0) for u in np.linspace(0, 1, 1000, endpoint=False)]
    # A regular grid of 1,000 quantiles hits each interval within one point at either end.
    np.testing.assert_allclose(np.bincount(drawn) / 1000, [0.5, 0.3, 0.2], atol=0.0021)


@pytest.mark.parametrize("bad", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_sampling_refuses_impossible_settings(bad):
    engine = ToyEngine()
    with pytest.raises(ValueError, match=next(iter(bad))):
        sampling.generate(
            engine, toy_memory(engine), generators=[np.random.default_rng(0)], **bad, inputs=inputs_of(engine)
        )


def test_one_beam_is_greedy():
    engine = ToyEngine(sharpness=1.0)
    memory = toy_memory(engine)
    plain = greedy.generate(engine, memory, inputs=inputs_of(engine))
    one = beam.generate(engine, memory, beams=1, inputs=inputs_of(engine))
    assert [g.ids for g in one] == [g.ids for g in plain]
    assert [g.logprobs for g in one] == [g.logprobs for g in plain]


def test_a_wide_beam_finds_the_best_of_all_answers():
    engine = ToyEngine(sharpness=0.4, vocab=7, seed=5)
    memory = toy_memory(engine)
    inputs = inputs_of(engine, max_tokens=3)
    found = beam.generate(engine, memory, beams=7**3, length_penalty=0.0, rows=1, inputs=inputs)[0]
    tokens = [token for token in range(7) if token != EOS]
    answers = [[*words, EOS] for length in range(3) for words in itertools.product(tokens, repeat=length)]
    scores = [sum(prefill_logprobs(engine, memory, 0, answer, inputs)) for answer in answers]
    assert found.ids == answers[int(np.argmax(scores))][:-1]


def test_beams_do_not_feel_the_neighbouring_question():
    engine = ToyEngine(sharpness=0.5)
    memory = toy_memory(engine)
    together = beam.generate(engine, memory, beams=3, inputs=inputs_of(engine))
    moved = take_memory(memory, np.array([4, 0, 0, 1, 2]))
    assert beam.generate(engine, moved, beams=3, rows=1, inputs=inputs_of(engine)) == [together[4]]


def test_confidence_is_the_product_for_short_answers_and_the_mean_for_long_ones():
    half = float(np.log(0.5))
    assert GeneratedTokens([5], [half, half], True, None, None).confidence() == pytest.approx(0.25)
    assert GeneratedTokens([5] * 9, [half] * 10, True, None, None).confidence() == pytest.approx(0.5)
    assert GeneratedTokens([], [], False, None, None).confidence() == 0.0


def test_a_compacted_batch_says_the_same():
    """einsum of the toy engine adds in a fixed order, so here even the last bits agree."""
    engine = ToyEngine(sharpness=1.0, seed=1)
    memory = toy_memory(engine, batch=9)
    inputs = replace(inputs_of(engine, max_tokens=12), bos=1, eos=2)
    plain = greedy.generate(engine, memory, inputs=inputs)
    assert len({len(generation.ids) for generation in plain}) > 2  # rows end at different steps
    engine.calls["shapes"].clear()
    compact = greedy.generate(engine, memory, compact=True, inputs=inputs)
    assert compact == plain
    assert min(engine.calls["shapes"]) < (9, 1)
    with pytest.raises(ValueError, match="compacted batch has no maps"):
        greedy.generate(engine, memory, compact=True, need_maps=True, inputs=inputs_of(engine))
