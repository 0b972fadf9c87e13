"""One decoding step of a tiny model under any gate: what tests of SPIN, its controls and variants share."""

import numpy as np

from sightline.inference.torch_engine import TorchEngine
from tests.support import tiny


def tiny_questions():
    """A tiny answering model, pixels, and token numbers and mask of four questions."""
    tokenizer = tiny.tokenizer()
    vlm, _ = tiny.models(tokenizer.size)
    ids_BT, mask_BT = tokenizer.batch(list(tiny.QUESTIONS), tiny.MAX_QUESTION, pad_to=tiny.MAX_QUESTION)
    pixels = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    return vlm, pixels, ids_BT, mask_BT


def one_step(questions, k=(4, 4), alpha=1.0, memory=None, **engine):
    """The first step of the four answers; engine: settings of TorchEngine."""
    vlm, pixels, ids_BT, mask_BT = questions
    engine = TorchEngine(vlm, None, **engine)
    if memory is None:
        memory = engine.memory(engine.image_tokens(pixels), ids_BT, mask_BT)
    return engine.step(np.array([[3], [4], [5], [6]]), None, memory, np.array(k), alpha, True)
