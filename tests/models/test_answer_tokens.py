"""A decoder that scores some of its tokenizer's tokens: the others share one score."""

import math

import numpy as np
import onnxruntime as ort
import pytest
import torch

from sightline.export import onnx_graphs
from sightline.inference.engine import log_softmax
from sightline.inference.torch_engine import TorchEngine
from sightline.models.answer_tokens import AnswerTokens, scored
from sightline.models.decoder.cross_attention import CrossAttentionVLM
from tests.models.test_options import ATOL, V, answer, inputs, remember
from tests.support import tiny

USED = sorted({int(token) for token in answer().flatten()[:30]})


def pair(**options):
    """A model that scores every token, and the same one that scores those of USED."""
    whole, clip = tiny.models(V, finetune=options)
    some = CrossAttentionVLM(whole.config | {"answer_tokens": scored(USED, V)})
    weights = whole.state_dict()
    for name in ("output_bias", "output"):
        if name in weights:
            weights[name] = weights[name][some.answer_tokens.token_K]
    some.load_state_dict(weights)
    return whole, some.eval(), clip


def test_one_token_stands_for_all_that_no_answer_has():
    assert scored([7, 3, 3, 0], 9) == [0, 3, 7, 1]
    assert scored(range(9), 9) is None


def test_probabilities_by_hand():
    tokens = AnswerTokens([2, 4, 0], 6)  # 0, 1, 3 and 5 share the last score
    logits_BTK = torch.tensor([[[0.1, 0.6, 0.3]]]).log()
    spread = tokens.spread(logits_BTK).softmax(-1)
    torch.testing.assert_close(spread, torch.tensor([[[0.075, 0.075, 0.1, 0.075, 0.6, 0.075]]]))
    assert not tokens.state_dict()


@pytest.mark.parametrize("tie", [True, False])
def test_scores_are_those_of_the_whole_vocabulary(tie):
    whole, some, _ = pair(tie_embeddings=tie)
    with torch.no_grad():
        expected = whole.step(answer(), None, remember(whole)).logits[..., some.config["answer_tokens"]]
        found = some.step(answer(), None, remember(some)).logits
    torch.testing.assert_close(found, expected, atol=ATOL, rtol=0)
    places = some.scores_of(torch.tensor(USED))
    assert some.tokens_of(places).tolist() == USED and places.tolist() == list(range(len(USED)))
    assert torch.equal(whole.scores_of(answer()), answer()) and torch.equal(
        whole.tokens_of(answer()), answer()
    )


def test_engines_give_every_token_a_probability(tmp_path):
    _, some, clip = pair()
    onnx_graphs.export_graph("decoder", some, clip, tmp_path / "decoder.onnx", 20)
    image, ids_BT, mask_BT = inputs()
    engine = TorchEngine(some, clip)
    tokens = engine.image_tokens(image.numpy())[[0, 0, 0, 1, 1, 1]]
    memory = engine.memory(tokens, ids_BT.numpy(), mask_BT.numpy())
    step = engine.step(answer().numpy(), None, memory, np.array([4, 4]), 1.0, False)
    assert step.logits_BTV.shape == (6, 8, V)
    logprobs_BTV = log_softmax(step.logits_BTV)
    np.testing.assert_allclose(np.exp(logprobs_BTV).sum(-1), 1.0, rtol=1e-6)
    others = sorted(set(range(V)) - set(USED))
    with torch.no_grad():
        shared_BT = some.step(answer(), None, remember(some)).logits.log_softmax(-1)[..., -1]
    expected_BT = shared_BT.numpy()[..., None] - math.log(len(others))
    np.testing.assert_allclose(logprobs_BTV[..., others], expected_BT.repeat(len(others), -1), atol=ATOL)
    cache = [part.numpy() for part in some.empty_cache(6)]
    logits, *_ = tiny.decode(ort.InferenceSession(tmp_path / "decoder.onnx"), {
        "tokens": answer().numpy(), "self_k": cache[0], "self_v": cache[1], "cross_k": memory.cross_k,
        "cross_v": memory.cross_v, "mask": memory.mask_BM, "image": memory.image_BM,
        "heads_kept": np.array([4, 4]), "alpha": np.array(1.0, np.float32),
    })  # fmt: skip
    np.testing.assert_allclose(logits, step.logits_BTV, atol=ATOL)
