"""PAI's attention by hand and inside a tiny model, and what is decoded without an image."""

import numpy as np
import pytest
import torch

from sightline.inference.torch_engine import TorchEngine
from sightline.spin.amplified_attention import amplified
from tests.support import tiny
from tests.support.spin_step import one_step, tiny_questions


def test_amplified_logits_by_hand():
    logits_BHTM = torch.tensor([[[[1.0, -2.0, 3.0]]]])
    found = amplified(logits_BHTM, torch.tensor([[True, True, False]]), 0.5)
    assert found.flatten().tolist() == [1.5, -1.0, 3.0]


@pytest.fixture(scope="module")
def questions():
    return tiny_questions()


def test_pai_looks_more_at_the_image_and_zero_strength_changes_no_bit(questions):
    plain, none, some = (
        one_step(questions),
        one_step(questions, amplify=0.0),
        one_step(questions, amplify=0.5),
    )
    np.testing.assert_array_equal(plain.logits_BTV, none.logits_BTV)
    patches = plain.maps_LBHTM.shape[-1] - tiny.MAX_QUESTION
    before, after = (found.maps_LBHTM[0, ..., :patches].sum(-1) for found in (plain, some))
    assert (after > before).all()


def test_without_an_image_the_answer_depends_on_the_question_alone(questions):
    vlm, pixels, ids_BT, mask_BT = questions
    engine = TorchEngine(vlm, None)
    seen = engine.memory(engine.image_tokens(pixels), ids_BT, mask_BT)
    alone = engine.memory_without_image(ids_BT, mask_BT)
    assert alone.cross_k.shape == seen.cross_k.shape and not alone.image_BM.any()
    assert alone.mask_BM.sum() == mask_BT.sum()
    without = one_step(questions, memory=alone)
    assert without.maps_LBHTM[..., : -tiny.MAX_QUESTION].max() == 0.0
    np.testing.assert_array_equal(
        without.logits_BTV, one_step(questions, memory=alone, amplify=0.5).logits_BTV
    )
