"""Every file of explain/methods against the Heatmap contract, over one tiny model; and each by hand where a
hand can."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sightline.core import registry
from sightline.core.params.generation import SPIN_OFF, Spin
from sightline.core.preprocessing import Preprocessing
from sightline.explain import gradients, heatmap, perturbation, segments, target
from sightline.explain.methods import (
    attention_rollout,
    cross_attention,
    gradient_attention,
    integrated_gradients,
    occlusion,
    rise,
)
from sightline.inference import torch_session
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.session import DECODER_TOKENIZER, Session
from sightline.inference.torch_engine import TorchEngine
from tests.support import language_models, tiny

METHODS = registry.names("explain/methods")
QUESTION = "What color is the ball?"
SPIN_ON = Spin(keep=0.5, alpha=0.25, layers=(0, 1))


@pytest.fixture(scope="module")
def case(model):
    """A forced answer of two words: a random model's own may be anything."""
    ids = tiny.tokenizer().encode("red cup", 8, special=False)
    return target.force(model, tiny.pictures(1)[0], QUESTION, ids)


def explain(model, name, case, word=0):
    return registry.load("explain/methods", name).explain(model, case, case.words[word][1])


def test_words_drawn_together_are_the_words_drawn_alone(model):
    """One word of two tokens, one dark word (every head silenced), one as it is: each as if it were the only
    one, and as written out for one word."""
    draw = np.random.default_rng(3)
    maps = draw.dirichlet(np.ones(90), size=(2, 4, 4)).astype(np.float32)
    gates = draw.choice(np.array([0.5, 1.0], np.float32), size=(2, 4, 4))
    gates[..., 2] = 0
    seen = model.session.preprocessing.seen(40, 44)
    case = target.ExplainedAnswer(
        tiny.pictures(1)[0], seen, QUESTION, "red cup ring", 0.5, [5, 6, 7, 8],
        [("red", [0, 1]), ("cup", [2]), ("ring", [3])], list(range(26)),
        [("ball", [3]), ("the", [1, 2])], maps, gates,
    )  # fmt: skip
    words = [tokens for _, tokens in case.words]
    for tokens, heat in zip(words, cross_attention.explain_words(model, case, words), strict=True):
        alone = cross_attention.explain(model, case, tokens)
        for name in ("patch_map", "pixel_map", "scores"):
            np.testing.assert_allclose(getattr(heat, name), getattr(alone, name), atol=1e-7)  # float32 sums
        assert heat.provenance == alone.provenance
        weight = gates[..., tokens] / (gates[..., tokens].sum((0, 1)) + 1e-30) / len(tokens)
        share = np.einsum("lht,lhtm->m", weight.astype(float), maps[:, :, tokens].astype(float))
        assert heat.provenance["image_share"] == pytest.approx(share[:64].sum())
        np.testing.assert_allclose(heat.patch_map, heatmap.above_average(share[:64].reshape(8, 8)), atol=1e-6)
        asked = share[64:][[3, 1]] + [0, share[64:][2]]
        expected = asked / asked.sum() if share.any() else [0.5, 0.5]
        np.testing.assert_allclose([score for _, score in heat.text_scores], expected, atol=1e-6)
    assert cross_attention.explain_words(model, case, []) == []


@pytest.mark.parametrize("name", METHODS)
def test_contract(model, case, name):
    assert case.words
    for word, (said, _) in enumerate(case.words):
        heat, twin = (explain(model, name, case, word) for _ in range(2))
        assert heat.patch_map.shape == model.grid
        assert heat.pixel_map.shape == case.rgb.shape[:2]
        for values in (heat.patch_map, heat.pixel_map):
            assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1
        assert heat.scores.shape[0] == heat.scores.shape[1] and np.isfinite(heat.scores).all()
        assert heat.provenance["method"] == name and heat.provenance["word"] == said
        assert 0 <= heat.provenance["image_share"] <= 1
        assert [word for word, _ in heat.text_scores] == ["what", "color", "is", "the", "ball", "?"]
        assert sum(score for _, score in heat.text_scores) == pytest.approx(1)
        assert min(score for _, score in heat.text_scores) >= 0
        np.testing.assert_array_equal(heat.pixel_map, twin.pixel_map)
        assert heat.text_scores == twin.text_scores


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_left_behind(model, case, name):
    """No hook, no gradient, no draw from a global generator, same weights."""
    vlm = model.trained()
    torch.manual_seed(3)
    before = torch.get_rng_state().clone(), [weight.clone() for weight in vlm.parameters()]
    np_before = np.random.get_state()[1].copy()
    explain(model, name, case)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == np_before).all()
    assert all(torch.equal(was, now) for was, now in zip(before[1], vlm.parameters(), strict=True))
    assert all(weight.grad is None for weight in vlm.parameters())
    assert hooks(vlm) == 0 and not vlm.training


def hooks(vlm):
    return sum(len(module._forward_hooks) + len(module._backward_hooks) for module in vlm.modules())


def test_gradients_without_a_pytorch_model_are_refused(model, case):
    with pytest.raises(ValueError, match="needs gradients"):
        explain(replace(model, trained=None), "grad_cam", case)


def test_hooks_are_gone_after_an_exception(model, case):
    vlm = model.trained()
    with pytest.raises((RuntimeError, ValueError)):
        gradients.run(model, case, [0], torch.zeros(1, 5, 32, 32))  # five colour channels
    assert hooks(vlm) == 0


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("random", "centre_gaussian")])
def test_the_map_depends_on_picture_and_spin(model, case, name):
    other = target.force(model, tiny.pictures(2)[1], QUESTION, case.ids)
    assert not np.allclose(explain(model, name, case).scores, explain(model, name, other).scores)
    gated = replace(model, spin=SPIN_ON)
    again = target.force(gated, case.rgb, QUESTION, case.ids)
    if name != "attention_rollout":  # which takes the mean over heads as it is
        assert not np.allclose(explain(model, name, case).scores, explain(gated, name, again).scores)


def test_an_explanation_has_every_word_and_an_empty_answer_none(model):
    found = target.explain(model, "cross_attention", tiny.pictures(1)[0], QUESTION, greedy_generation(3))
    assert "".join(heat.provenance["word"] for heat in found.words) == found.answer.replace(" ", "")
    assert found.silenced_LH.shape == (2, 4) and not found.silenced_LH.any()
    gated = target.explain(
        replace(model, spin=SPIN_ON), "cross_attention", tiny.pictures(1)[0], QUESTION, greedy_generation(3)
    )
    np.testing.assert_allclose(gated.silenced_LH.sum(axis=1), 2)  # half of four heads
    blank = target.ask(model, tiny.pictures(1)[0], QUESTION)
    blank = replace(blank, ids=[], words=[], answer="", maps_LHTM=None, gates_LHT=None)
    assert target.explain_answer(model, "cross_attention", blank).words == []


def test_a_forced_answer_is_the_given_one(model):
    asked = target.ask(model, tiny.pictures(1)[0], QUESTION, greedy_generation(3))
    forced = target.force(model, tiny.pictures(1)[0], QUESTION, asked.ids)
    np.testing.assert_allclose(forced.maps_LHTM, asked.maps_LHTM, atol=1e-5)  # one call or several: float32
    np.testing.assert_array_equal(forced.gates_LHT, asked.gates_LHT)
    assert (forced.words, forced.question_ids) == (asked.words, asked.question_ids)


def test_both_forms_of_the_model_give_the_same_log_probability(model, case):
    """The session's (black-box methods) and that of the tape (gradients)."""
    everything_1F = np.ones((1, 64 + len(case.question_words)))
    whole = perturbation.scores(model, case, [1], segments.of_picture(model, case.rgb), everything_1F)[0]
    tape = gradients.run(model, case, [1], gradients.pixels(model, case.rgb))
    assert float(tape.log_prob.detach()) == pytest.approx(whole, abs=1e-4)


def test_cross_attention_by_hand(model, case):
    question = len(case.question_ids)
    maps = np.zeros((2, 4, 2, 64 + question))
    maps[:, 0, 0, 9] = 0.75  # the first head looks at one patch ...
    maps[:, 0, 0, 64 + case.question_words[4][1][0]] = 0.25
    maps[:, 1:, 0, 64:] = 1 / question  # ... the others read the question
    gates = np.ones((2, 4, 2))
    first_only = gates * np.array([1, 0, 0, 0])[:, None]
    looked = replace(case, maps_LHTM=maps, gates_LHT=gates)
    heat = cross_attention.explain(model, looked, [0])
    assert heat.patch_map.ravel().argmax() == 9 and heat.provenance["image_share"] == pytest.approx(0.75 / 4)
    heat = cross_attention.explain(model, replace(looked, gates_LHT=first_only), [0])  # readers silenced
    assert heat.provenance["image_share"] == pytest.approx(0.75)
    assert dict(heat.text_scores)["ball"] == 1.0
    (one,) = cross_attention.of_heads(model, looked, [[0]], np.eye(2, 4)[::-1])  # the second's first head
    assert one.provenance["image_share"] == pytest.approx(0.375)  # beside the first layer's second head


def test_rollout_by_hand():
    """One patch, one question token, one layer each."""
    text, joint = np.array([[1.0]]), np.array([[0.6, 0.4]])
    own, cross = np.array([[1.0]]), np.array([[0.5, 0.5]])
    found = attention_rollout.rollout(1, [text], [joint], [own], [cross])
    # The question token after the joint block: half its own, half (0.6 patch, 0.4 its own).
    reached = np.array([[1.0, 0.0], [0.3, 0.7]])
    np.testing.assert_allclose(found, (cross @ reached) / 2)


def test_rollout_loses_nothing():
    """Rows of attention sum to 1, so what comes from memory and what stays with the answer do too."""
    rng = np.random.default_rng(0)

    def attention(*shape):
        values = rng.random(shape)
        return values / values.sum(-1, keepdims=True)

    found = attention_rollout.rollout(
        6, [attention(4, 4)], [attention(4, 10)], [np.eye(3)] * 2, [attention(3, 10), attention(3, 10)]
    )
    np.testing.assert_allclose(found.sum(axis=1), 1 - 0.25)  # two residual halves stay


def test_gradient_attention_by_hand():
    nothing = np.zeros((1, 1))
    cross = np.array([[0.2, 0.0]])
    np.testing.assert_allclose(gradient_attention.relevance(1, [nothing], [], [nothing], [cross]), cross)
    joint = np.array([[0.5, 0.0]])  # the question token got its content from the patch
    found = gradient_attention.relevance(1, [nothing], [joint], [nothing], [np.array([[0.0, 0.2]])])
    np.testing.assert_allclose(found, [[0.2, 0.2]])


def test_integrated_gradients_are_complete(model, case):
    """Attributions sum to the gain from nothing to everything (the paper's axiom)."""
    of_pixel, of_token = integrated_gradients.attribute(model, case, [0])
    start = torch.from_numpy(perturbation.backgrounds(model, case.rgb)["mean"].copy())[None]
    faded = torch.ones(1, len(case.question_ids))
    for _, positions in case.question_words:
        faded[:, positions] = 0.0
    nothing = gradients.run(model, case, [0], start, faded).log_prob
    everything = gradients.run(model, case, [0], gradients.pixels(model, case.rgb)).log_prob
    gain = float((everything - nothing).detach())
    assert of_pixel.sum() + of_token.sum() == pytest.approx(gain, abs=0.05 * abs(gain) + 0.01)


def test_patches_share_the_pixels():
    values = np.arange(36.0).reshape(6, 6)
    found = integrated_gradients.in_patches(values, (2, 3))
    assert found[0, 0] == values[:3, :2].sum() and found.sum() == values.sum()
    np.testing.assert_allclose(integrated_gradients.smooth(np.ones((5, 7)), 2.0), 1.0)


def test_occlusion_windows():
    hidden = occlusion.windows(3, 3)
    assert hidden.shape == (4, 9) and (hidden.sum(axis=1) == 4).all()
    assert hidden.sum(axis=0).reshape(3, 3).tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert occlusion.windows(1, 2).tolist() == [[1, 0], [0, 1]]  # something stays in sight


def test_rise_finds_the_pixels_of_a_linear_score():
    seen = rise.masks(400, 32, np.random.default_rng(0))
    assert seen.min() >= 0 and seen.max() <= 1 and seen.mean() == pytest.approx(0.5, abs=0.03)
    found = rise._slope(seen[:, 8:16, 16:24].mean(axis=(1, 2)).astype(float), seen.reshape(400, -1))
    y, x = np.unravel_index(found.argmax(), (32, 32))
    assert 8 <= y < 16 and 16 <= x < 24


def test_removed_parts_are_gone(model, case):
    """A removed patch shows the background; a removed word is masked; a word beyond both changes nothing."""
    pixels = model.session.pixels([case.rgb])[0]
    background = perturbation.backgrounds(model, case.rgb)["mean"]
    present = np.ones((1, 64))
    present[0, 9] = 0
    shown = perturbation.blend(pixels, background, present, segments.patches(32, (8, 8)))[0]
    np.testing.assert_array_equal(shown[:, 4:8, 4:8], background[:, 4:8, 4:8])
    shown[:, 4:8, 4:8] = pixels[:, 4:8, 4:8]
    np.testing.assert_allclose(shown, pixels, atol=1e-6)  # float32: background + (pixel - background)
    mask = perturbation.question_masks(model, case, np.array([[1, 1, 1, 1, 0, 1]]))
    assert mask.sum() == len(case.question_ids) - len(case.question_words[4][1])


def test_tokens_are_drawn_where_they_look(model):
    """small_cnn: token i of 8 looks at pixel 4 i of 32, not at the middle of its patch."""
    rows, cols = target.looked_at(model.session, model.grid)
    steps = 4 * np.arange(8)
    assert np.abs(rows * 32 - steps)[1:].mean() < np.abs(rows * 32 - steps - 2)[1:].mean()
    assert np.abs(rows * 32 - steps)[1:].max() < 2.5
    scores = np.zeros((8, 8))
    scores[3, 5] = 1.0
    y, x = np.unravel_index(model.spread(scores).argmax(), (32, 32))
    assert abs(y - 12) <= 2 and abs(x - 20) <= 2
    np.testing.assert_allclose(model.spread(np.ones((8, 8))), 1.0)
    scores[3, 4] = 1.0  # an object that two tokens share: its middle lies between the places they look at
    x = model.spread(scores).argmax() % 32
    assert 32 * cols[4] < x < 32 * cols[5]


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("method", ["grad_cam", "gradient_attention", "integrated_gradients", "occlusion"])
def test_other_image_towers(name, method, tmp_path):
    """A ResNet's map and a transformer's tokens, 2 x 2 and 4 x 4 patches."""
    from sightline.core.artifacts import write_json
    from sightline.inference import torch_session

    vision = {"tower": "timm", "name": name, "image_size": 64, "checkpoint": "none", "width": 32}
    vlm, _ = tiny.models(tiny.tokenizer().size, vision=vision)
    tiny.write_settings(tmp_path)
    write_json(tmp_path / "preprocessor_config.json", vlm.vision.preprocessing.to_config())
    model = target.ExplainedModel(torch_session.session(vlm, None, tmp_path), SPIN_OFF, lambda: vlm, 7)
    ids = tiny.tokenizer().encode("red", 8, special=False)
    case = target.force(model, tiny.pictures(1)[0], QUESTION, ids)
    heat = explain(model, method, case)
    assert heat.patch_map.shape == {"resnet10t": (2, 2), "vit_tiny_patch16_224": (4, 4)}[name]
    assert np.isfinite(heat.scores).all() and np.ptp(heat.scores) > 0
    assert hooks(vlm) == 0


def test_pixels_outside_the_seen_square_are_dark():
    plain = Preprocessing.plain(4, [0.5] * 3, [0.25] * 3)
    pixels = heatmap.on_picture(np.ones((2, 2)), plain.seen(8, 20))
    assert pixels.shape == (8, 20) and (pixels[:, 6:14] == 1).all()
    assert not pixels[:, :6].any() and not pixels[:, 14:].any()
    cropped = replace(plain, resize=5)  # four fifths of the square
    pixels = heatmap.on_picture(np.ones((2, 2)), cropped.seen(20, 10))
    assert (pixels[6:14, 1:9] == 1).all() and pixels.sum() == 64
    squashed = replace(plain, squash=True)
    assert (heatmap.on_picture(np.ones((2, 2)), squashed.seen(8, 20)) == 1).all()


def test_an_even_map_stays_dark_and_a_peak_is_one():
    assert not heatmap.above_average(np.full((4, 4), 0.1)).any()
    assert not heatmap.above_average(np.zeros((4, 4))).any()
    nearly = np.full(10, 1.0)
    nearly[0] = 1.1
    assert heatmap.above_average(nearly)[0] == pytest.approx(1.1 / 1.01 - 1)  # 9 % over the average: faint
    peak = np.array([3.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(heatmap.above_average(peak), [1, 0, 0, 0])


def test_evidence_against_is_dark():
    np.testing.assert_allclose(heatmap.evidence(np.array([2.0, -4.0, 1.0])), [1, 0, 0.5])
    assert not heatmap.evidence(np.array([-1.0, 0.0])).any()


def test_resize_is_smooth_and_stays_in_range():
    sharp = np.array([[0.0, 1.0], [1.0, 0.0]])
    large = heatmap.resize(sharp, 40, 40)
    assert large.shape == (40, 40) and large.min() >= 0 and large.max() <= 1
    # bicubic from 2 to 40 pixels: no jump of a whole patch
    assert np.abs(np.diff(large, axis=0)).max() < 0.15


def test_a_session_of_an_engine_without_a_dual_encoder_is_enough(model, case):
    """Explaining an answer asks for nothing but the answering model."""
    session = Session(
        TorchEngine(model.trained(), None), model.session.tokenizer, model.session.preprocessing,
        model.session.settings,
    )  # fmt: skip
    alone = replace(model, session=session)
    np.testing.assert_array_equal(
        explain(alone, "occlusion", case).scores, explain(model, "occlusion", case).scores
    )


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """A causal language model that answers, with its own tokenizer; and an answer of it."""
    folder = tmp_path_factory.mktemp("causal")
    tiny.write_settings(folder)
    (folder / DECODER_TOKENIZER).mkdir()
    own = language_models.tokenizer()
    own.save(folder / DECODER_TOKENIZER / "tokenizer.json")
    vlm, clip = language_models.models("llama")
    model = target.ExplainedModel(torch_session.session(vlm, clip, folder), SPIN_OFF, lambda: vlm, 7)
    return model, target.force(model, tiny.pictures(1)[0], QUESTION, own.encode("red cup", 8, special=False))


def test_gradients_of_a_causal_language_model_are_those_of_what_it_answers(causal):
    model, case = causal
    tape = gradients.run(model, case, [1], gradients.pixels(model, case.rgb))
    segment_YX = segments.of_picture(model, case.rgb)
    everything_1F = np.ones((1, int(segment_YX.max()) + 1 + len(case.question_words)))
    whole = perturbation.scores(model, case, [1], segment_YX, everything_1F)[0]
    assert float(tape.log_prob.detach()) == pytest.approx(whole, abs=1e-4)
    for name in ("grad_cam", "integrated_gradients"):
        heat = explain(model, name, case)
        assert heat.patch_map.max() == 1 and np.ptp([score for _, score in heat.text_scores]) > 0
    of_pixel, of_token = integrated_gradients.attribute(model, case, [0])
    start = torch.from_numpy(perturbation.backgrounds(model, case.rgb)["mean"].copy())[None]
    faded = torch.ones(1, len(case.question_ids))
    faded[0, [position for _, positions in case.question_words for position in positions]] = 0
    nothing = gradients.run(model, case, [0], start, faded).log_prob
    everything = gradients.run(model, case, [0], gradients.pixels(model, case.rgb)).log_prob
    gain = float((everything - nothing).detach())
    assert of_pixel.sum() + of_token.sum() == pytest.approx(gain, abs=0.05 * abs(gain) + 1e-3)


@pytest.mark.parametrize("name", ["attention_rollout", "gradient_attention"])
def test_what_follows_our_own_decoder_refuses_a_language_model(causal, name):
    with pytest.raises(ValueError, match="this model's decoder is a causal language model: choose"):
        explain(*causal[:1], name, causal[1])
