"""Parts of a picture: patches and superpixels, and what SHAP and LIME make of them."""

import builtins
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.explain import perturbation, segments, target
from sightline.explain.methods import _captum, kernel_shap, lime
from tests.support import tiny

QUESTION = "What color is the ball?"


@pytest.fixture(scope="module")
def photo_model(model):
    return replace(model, segments="slic")


def answer(model, rgb):
    return target.force(model, rgb, QUESTION, tiny.tokenizer().encode("red", 8, special=False))


@pytest.fixture(scope="module")
def case(model):
    """A red disc on green, 60 x 80."""
    y, x = np.mgrid[:60, :80]
    disc = (y - 25) ** 2 + (x - 45) ** 2 < 15**2
    return answer(model, np.where(disc[..., None], [200, 30, 30], [40, 160, 60]).astype(np.uint8))


def test_superpixels_follow_a_border_that_patches_cut():
    """Two regions with a slanted border: of superpixels hardly a pixel lies with the other region."""
    y, x = np.mgrid[:224, :224]
    left = x + 0.3 * y < 130
    rgb = np.where(left[..., None], [0.8, 0.7, 0.1], [0.1, 0.2, 0.6])

    def mixed(segment_YX):
        """Pixels that lie in a part which mostly belongs to the other region."""
        share_P = np.bincount(segment_YX.ravel(), left.ravel()) / np.bincount(segment_YX.ravel())
        return float(((share_P > 0.5)[segment_YX] != left).mean())

    assert mixed(segments.superpixels(rgb)) < 0.005 < 0.03 < mixed(segments.patches(224, (7, 7)))


def test_superpixels_are_numbered_joined_bounded_and_the_same_again():
    draw = np.random.default_rng(0)
    rgb = np.kron(draw.random((14, 14, 3)), np.ones((16, 16, 1)))
    found = segments.superpixels(rgb)
    assert found.shape == (224, 224)
    assert np.unique(found).tolist() == list(range(found.max() + 1))
    assert 25 <= found.max() + 1 <= 2 * segments.SEGMENTS
    np.testing.assert_array_equal(found, segments.superpixels(rgb.copy()))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 48), st.integers(0, 2**16), st.sampled_from(["even", "noise", "stripes"]))
def test_any_picture_has_superpixels(side, seed, kind):
    draw = np.random.default_rng(seed)
    rgb = {
        "even": np.full((side, side, 3), draw.random()),
        "noise": draw.random((side, side, 3)),
        "stripes": np.repeat(draw.integers(0, 2, (side, 1, 3)), side, axis=1).astype(float),
    }[kind]
    found = segments.superpixels(rgb)
    assert found.shape == (side, side) and found.min() == 0
    assert np.unique(found).tolist() == list(range(found.max() + 1))
    assert len(np.unique(found)) <= max(2 * segments.SEGMENTS, 1)


def test_patches_are_those_of_the_grid():
    assert segments.patches(4, (2, 2)).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert np.bincount(segments.patches(224, (13, 13)).ravel()).min() >= 17**2


def test_the_parameter_chooses(model, photo_model, case):
    np.testing.assert_array_equal(segments.of_picture(model, case.rgb), segments.patches(32, (8, 8)))
    follows = segments.of_picture(photo_model, case.rgb)
    assert follows.shape == (32, 32) and (follows != segments.patches(32, (8, 8))).any()


def test_shap_over_superpixels_is_additive(photo_model, case):
    """What parts and words get sums to what all of them together gain over none of them."""
    segment_YX = segments.of_picture(photo_model, case.rgb)
    shap_F = _captum.attribute(photo_model, case, [0], "kernel_shap", segment_YX)
    ends_2F = np.stack([np.zeros(len(shap_F)), np.ones(len(shap_F))])
    nothing, everything = perturbation.scores(photo_model, case, [0], segment_YX, ends_2F)
    assert abs(everything - nothing) > 0.01
    # The two ends weigh 1e6, not infinity.
    assert shap_F.sum() == pytest.approx(everything - nothing, abs=1e-3)


@pytest.mark.parametrize("name", ["kernel_shap", "lime"])
def test_a_planted_linear_model_is_recovered(photo_model, case, name, monkeypatch):
    """A score that is linear in the pixels: a superpixel's coefficient is what its pixels add."""
    draw = np.random.default_rng(1)
    weight_CYX = draw.normal(size=(3, 32, 32))
    monkeypatch.setattr(
        perturbation,
        "log_prob",
        lambda _model, _answer, _tokens, pixels_NCYX, _mask: (pixels_NCYX * weight_CYX).sum(axis=(1, 2, 3)),
    )
    segment_YX = segments.of_picture(photo_model, case.rgb)
    pixels_CYX = photo_model.session.pixels([case.rgb])[0]
    added_CYX = weight_CYX * (pixels_CYX - perturbation.backgrounds(photo_model, case.rgb)["mean"])
    planted_P = np.bincount(segment_YX.ravel(), added_CYX.sum(axis=0).ravel())
    found_F = _captum.attribute(photo_model, case, [0], name, segment_YX)
    found_P, of_word_W = np.split(found_F, [len(planted_P)])
    if name == "kernel_shap":  # exact but for float32 pictures
        np.testing.assert_allclose(found_P, planted_P, atol=0.01 * np.abs(planted_P).max())
    assert np.corrcoef(found_P, planted_P)[0, 1] > 0.99  # LIME shrinks them all a little: its ridge
    assert np.abs(of_word_W).max() < 0.1 * np.abs(planted_P).max()


@pytest.mark.parametrize("method", [kernel_shap, lime])
def test_a_map_of_superpixels_has_their_borders_and_the_same_bits_again(photo_model, case, method):
    one, two = (method.explain(photo_model, case, [0]) for _ in range(2))
    np.testing.assert_array_equal(one.scores, two.scores)
    np.testing.assert_array_equal(one.pixel_map, two.pixel_map)
    segment_YX = segments.of_picture(photo_model, case.rgb)
    assert one.scores.shape == segment_YX.shape
    inside = [np.ptp(one.scores[segment_YX == part]) for part in range(segment_YX.max() + 1)]
    assert max(inside) == 0 < np.ptp(one.scores)
    assert one.patch_map.shape == photo_model.grid and one.pixel_map.shape == case.rgb.shape[:2]


@pytest.mark.parametrize("shape", [(40, 44, 3), (1, 1, 3), (2, 200, 3)])
def test_a_picture_of_one_colour_has_no_part_that_counts(photo_model, shape):
    """Hiding what looks like its background changes nothing, also where the picture is tiny. What is left is
    the error of 512 samples."""
    even = answer(photo_model, np.full(shape, 90, np.uint8))
    segment_YX = segments.of_picture(photo_model, even.rgb)
    shap_F = _captum.attribute(photo_model, even, [0], "kernel_shap", segment_YX)
    of_part_P, of_word_W = np.split(shap_F, [segment_YX.max() + 1])
    assert np.abs(of_part_P).max() < 0.1 * np.abs(of_word_W).max()
    assert kernel_shap.explain(photo_model, even, [0]).pixel_map.shape == shape[:2]


def test_without_scikit_image_the_message_says_what_to_install(photo_model, case, monkeypatch):
    real = builtins.__import__

    def blocked(name, *rest, **named):
        if name.startswith("skimage"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ValueError, match="pip install scikit-image"):
        segments.of_picture(photo_model, case.rgb)
