"""SPIN through the session, PyTorch and ONNX: a question alone and among others, and all heads kept."""

import numpy as np
import pytest

from sightline.core.params.generation import SPIN_OFF, Spin
from sightline.inference import torch_session as from_torch
from sightline.inference.session import Session
from tests.support import tiny

HALF = Spin(keep=0.5, alpha=0.0, layers=(0, 1))
ONE = Spin(top_k=1, alpha=0.1, layers=(1,))
PICTURES, ASKED = 9, len(tiny.QUESTIONS)


@pytest.fixture(scope="module", params=["torch", "fp32", "int8"])
def session(request, root, trained):
    if request.param == "torch":
        return from_torch.session(*trained, root)
    return Session.open(root, request.param)


@pytest.fixture(scope="module")
def asked():
    """Every question about every picture: 36 pairs, more than the largest batch."""
    pictures = tiny.pictures(PICTURES)
    pairs = [(picture, question) for picture in pictures for question in tiny.QUESTIONS]
    return [picture for picture, _ in pairs], [question for _, question in pairs]


def probabilities(answers) -> list[float]:
    return [answer.probability for answer in answers]


@pytest.mark.parametrize("spin", [HALF, ONE], ids=["half", "one"])
def test_answers_do_not_depend_on_the_batch(session, asked, spin):
    alone = session.answer(*asked, spin=spin, need_maps=True, batch_size=1)
    assert len(set(probabilities(alone))) > ASKED  # pictures matter, too
    for batch_size in (8, 32):
        together = session.answer(*asked, spin=spin, need_maps=True, batch_size=batch_size)
        for mine, theirs in zip(together, alone, strict=True):
            assert mine.ids == theirs.ids
            np.testing.assert_array_equal(mine.gates_LHT, theirs.gates_LHT)
        # Twelve fp32 factors, whose matrix products are summed in an order that the batch's size decides.
        np.testing.assert_allclose(probabilities(together), probabilities(alone), rtol=1e-4)
    plain = session.answer(*asked, spin=SPIN_OFF, batch_size=8)
    assert not np.allclose(probabilities(alone), probabilities(plain), rtol=1e-2)


@pytest.mark.parametrize("change", [{"keep": 1.0}, {"alpha": 1.0}, {"layers": ()}], ids=str)
def test_a_gate_that_silences_nothing_changes_no_bit(session, asked, change):
    plain = session.answer(*asked, spin=SPIN_OFF, need_maps=True, batch_size=8)
    gated = session.answer(*asked, spin=HALF.replaced(**change), need_maps=True, batch_size=8)
    assert len(gated) == PICTURES * ASKED
    for mine, theirs in zip(gated, plain, strict=True):
        assert (mine.ids, mine.probability) == (theirs.ids, theirs.probability)
        np.testing.assert_array_equal(mine.maps_LHTM, theirs.maps_LHTM)
