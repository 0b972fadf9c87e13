"""Ours against Captum's on the same inputs, and Captum's through our face."""

import captum.attr as captum
import numpy as np
import pytest
import torch

from sightline.explain import gradients, perturbation, segments, target
from sightline.explain.methods import _captum, grad_cam, integrated_gradients, occlusion
from tests.support import tiny

SAME = 0.99  # correlation: the same formula in another order of float32 sums


@pytest.fixture(scope="module")
def case(model):
    ids = tiny.tokenizer().encode("red", 8, special=False)
    return target.force(model, tiny.pictures(1)[0], "What color is the ball?", ids)


def of_pixels(model, case):
    return lambda pixels: gradients.run(model, case, [0], pixels).log_prob


def correlation(one, other):
    return np.corrcoef(np.ravel(one), np.ravel(other))[0, 1]


def test_integrated_gradients(model, case):
    pixels = gradients.pixels(model, case.rgb)
    start = torch.from_numpy(perturbation.backgrounds(model, case.rgb)["mean"].copy())[None]
    theirs = captum.IntegratedGradients(of_pixels(model, case)).attribute(pixels, start, n_steps=32)
    pixels_only = target.ExplainedAnswer(
        **{**vars(case), "question_words": []}
    )  # Captum's line leaves the question as it is
    ours, _ = integrated_gradients.attribute(model, pixels_only, [0])
    assert correlation(ours, theirs.detach().numpy()) >= SAME


def test_occlusion(model, case):
    pixels = gradients.pixels(model, case.rgb)
    start = torch.from_numpy(perturbation.backgrounds(model, case.rgb)["mean"].copy())[None]
    with torch.no_grad():
        theirs = captum.Occlusion(of_pixels(model, case)).attribute(
            pixels, sliding_window_shapes=(3, 8, 8), strides=(3, 4, 4), baselines=start
        )
    ours = occlusion.explain(model, case, [0]).scores
    patches = theirs[0, 0, ::4, ::4].numpy()
    small = integrated_gradients.in_patches(ours, (8, 8))  # the enlargement's cells, summed again
    assert correlation(small, patches) >= SAME


def test_grad_cam(model, case):
    tower = model.trained().vision.body[-1]  # the last feature map, [B, D, Y, X]
    theirs = captum.LayerGradCam(of_pixels(model, case), tower).attribute(
        gradients.pixels(model, case.rgb), relu_attributions=True
    )
    ours = grad_cam.explain(model, case, [0])
    assert theirs.abs().sum() > 0
    np.testing.assert_allclose(
        ours.patch_map, (theirs / theirs.max())[0, 0].detach().numpy(), atol=1e-4
    )  # float32


def test_shap_finds_the_shapley_values_of_a_sum(model, case, monkeypatch):
    """Of a linear score the Shapley values are its weights, whatever the coalitions; LIME's slopes too, less
    its penalty."""
    weights = np.random.default_rng(0).normal(size=64 + len(case.question_words))
    monkeypatch.setattr(perturbation, "scores", lambda *_: _[4] @ weights)
    segment_YX = segments.of_picture(model, case.rgb)
    shap = _captum.attribute(model, case, [0], "kernel_shap", segment_YX)
    np.testing.assert_allclose(shap, weights, atol=1e-3)  # the two ends weigh 1e6, not infinity
    assert correlation(_captum.attribute(model, case, [0], "lime", segment_YX), weights) >= SAME


def test_without_captum_the_message_says_what_to_install(monkeypatch):
    import builtins

    real = builtins.__import__

    def blocked(name, *rest, **named):
        if name.startswith("captum"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ValueError, match="pip install captum"):
        _captum.captum()
