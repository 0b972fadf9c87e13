"""Every file of explain/methods against the Heatmap contract, and cross-attention by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from sightline import registry
from sightline.data.tokenizer import Tokenizer
from sightline.data.vqa.template import prompt
from sightline.explain import heatmap
from sightline.explain.methods import cross_attention

QUESTION, TRUTH = "Is there a cube?", "a red cube"
ROWS, COLS = 2, 3
OFF = {"keep": 1.0, "top_k": None, "alpha": 1.0, "layers": [], "score": "mass"}
TOKENIZER = Tokenizer.train([prompt(QUESTION), "a red cube is there"] * 4, 200, 1)


class Looking:
    """Answers by a script with known attention: layers 2, heads 2, as export.session.Session would."""

    def __init__(self, answer=TRUTH, silenced=False):
        self.engine = SimpleNamespace(config={"grid": [ROWS, COLS], "layers": 2, "heads": 2})
        self.tokenizer, self.silenced = TOKENIZER, silenced
        self.ids = TOKENIZER.encode(answer, 32, special=False)
        self.generation = {"max_new": 8}

    def answer(self, images, questions, spin=None, max_new=None, need_maps=False, batch_size=1):
        question = TOKENIZER.encode(prompt(questions[0]), 32)
        length, patches = len(self.ids), ROWS * COLS
        maps = np.zeros((2, 2, length, patches + len(question)))
        for token in range(length):
            maps[:, 0, token, token % patches] = 0.75  # head 0 looks at one patch ...
            maps[:, 0, token, patches + 1] = 0.25
            maps[:, 1, token, patches:] = 1 / len(question)  # ... head 1 reads the question only
        gates = np.ones((2, 2, length))
        gates[:, 1] = 0.0 if self.silenced else 1.0
        told = (maps, gates) if length else (None, None)
        return [
            SimpleNamespace(
                text=TOKENIZER.decode(self.ids),
                ids=self.ids,
                confidence=0.5,
                maps_LHTM=told[0],
                gates_LHT=told[1],
                question_ids=question,
            )
        ]


def picture(height=12, width=20):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", registry.names("explain/methods"))
def test_contract(name):
    method, rgb = registry.load("explain/methods", name), picture()
    found = method.explain(Looking(), rgb, QUESTION, OFF, 8)
    again = method.explain(Looking(), rgb, QUESTION, OFF, 8)
    assert [heat.provenance["word"] for heat in found.words] == TRUTH.split()
    assert found.silenced_LH.shape == (2, 2)
    for heat, twin in zip(found.words, again.words, strict=True):
        assert heat.patch_map.shape == (ROWS, COLS)
        assert heat.pixel_map.shape == rgb.shape[:2]
        for values in (heat.patch_map, heat.pixel_map):
            assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1
        assert heat.provenance["method"] == name
        assert 0 <= heat.provenance["image_share"] <= 1
        assert sum(score for _, score in heat.text_scores) == pytest.approx(1)
        assert [word for word, _ in heat.text_scores] == ["is", "there", "a", "cube", "?"]
        np.testing.assert_array_equal(heat.pixel_map, twin.pixel_map)


@pytest.mark.parametrize("name", registry.names("explain/methods"))
def test_an_answer_without_words_has_no_maps(name):
    found = registry.load("explain/methods", name).explain(Looking(answer=""), picture(), QUESTION, OFF, 8)
    assert found.words == [] and found.answer == ""
    assert found.silenced_LH.shape == (2, 2)


def test_cross_attention_by_hand():
    words = cross_attention.explain(Looking(), picture(), QUESTION, OFF, 8).words
    for place, heat in enumerate(words):
        assert heat.patch_map.ravel().argmax() == place
        assert heat.patch_map.ravel().tolist() == [float(patch == place) for patch in range(ROWS * COLS)]
        assert heat.provenance["image_share"] == pytest.approx(0.75 / 2)  # mean of both heads


def test_a_silenced_head_has_no_say():
    found = cross_attention.explain(Looking(silenced=True), picture(), QUESTION, OFF, 8)
    assert [heat.provenance["image_share"] for heat in found.words] == pytest.approx([0.75] * 3)
    np.testing.assert_array_equal(found.silenced_LH, [[0, 1], [0, 1]])


def test_pixels_outside_the_seen_square_are_dark():
    pixels = heatmap.on_picture(np.ones((2, 2)), 8, 20)
    assert (pixels[:, 6:14] == 1).all()
    assert not pixels[:, :6].any() and not pixels[:, 14:].any()
    assert heatmap.seen_square(20, 8) == (6, 0, 8)


def test_an_even_map_stays_dark_and_a_peak_is_one():
    assert not heatmap.above_average(np.full((4, 4), 0.1)).any()
    assert not heatmap.above_average(np.zeros((4, 4))).any()
    nearly = np.full(10, 1.0)
    nearly[0] = 1.1
    assert heatmap.above_average(nearly)[0] == pytest.approx(1.1 / 1.01 - 1)  # 9 % over the average: faint
    peak = np.array([3.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(heatmap.above_average(peak), [1, 0, 0, 0])


def test_resize_is_smooth_and_stays_in_range():
    sharp = np.array([[0.0, 1.0], [1.0, 0.0]])
    large = heatmap.resize(sharp, 40, 40)
    assert large.shape == (40, 40) and large.min() >= 0 and large.max() <= 1
    assert (
        np.abs(np.diff(large, axis=0)).max() < 0.15
    )  # bicubic from 2 to 40 pixels: no jump of a whole patch
