"""A pretrained encoder with counted words on top: the sum by hand, the encoder as it came, its graph."""

import json
import math

import numpy as np
import onnxruntime
import pytest
import torch

from sightline.core import registry
from sightline.data.tokenizer import Tokenizer
from sightline.export import onnx_graphs
from sightline.models.dual_encoder import DualEncoder
from tests.support.text_encoders import checkpoint

TOWER = registry.load("models/text", "hf_idf_bag")
TEXTS = ["a small red ball", "a ball", "Don't run!"]
LENGTH, WIDTH = 32, 16


@pytest.fixture
def made(tmp_path):
    """(tower, transformers' own model, tokenizer); its words are counted in TEXTS."""
    reference = checkpoint("mpnet", tmp_path)
    config = {
        "tower": "hf_idf_bag",
        "checkpoint": str(tmp_path),
        "width": WIDTH,
        "max_tokens": LENGTH,
        "layers": 1,
    }
    tokenizer = Tokenizer.load(TOWER.tokenizer_path(config))
    torch.manual_seed(0)
    tower = TOWER.build({**config, "vocab_size": tokenizer.size}).eval()
    tower.count([tokenizer.encode(text, LENGTH) for text in TEXTS])
    return tower, reference, tokenizer


def inputs(tokenizer):
    return [torch.from_numpy(array) for array in tokenizer.batch(TEXTS, LENGTH)]


@torch.no_grad()
def test_a_text_is_its_rare_words_and_what_the_encoder_makes_of_it(made):
    tower, reference, tokenizer = made
    ids_BT, mask_BT = inputs(tokenizer)
    pooled_BD = tower.pool(tower(ids_BT, mask_BT), mask_BT)
    documents = [set(tokenizer.encode(text, LENGTH)) for text in TEXTS]
    for row, text in enumerate(TEXTS):
        ids = tokenizer.encode(text, LENGTH)
        idf = [math.log(3 / sum(token in document for document in documents)) for token in ids]
        words_TD = tower.bag.embedding.weight[ids] * torch.tensor(idf)[:, None]
        places_TD = tower.bag.positions.table.weight[: len(ids)]
        states_TH = reference(input_ids=torch.tensor([ids])).last_hidden_state[0]
        mapped_TD = states_TH @ tower.map.weight.T + tower.map.bias
        by_hand_D = (words_TD + places_TD + mapped_TD).mean(0)
        torch.testing.assert_close(pooled_BD[row], by_hand_D, atol=1e-5, rtol=0)
    assert max(idf) == pytest.approx(math.log(3))


def test_the_encoder_stays_as_it_came_whatever_is_frozen(made):
    tower, _, tokenizer = made
    before = {name: tensor.clone() for name, tensor in tower.encoder.state_dict().items()}
    for frozen in (True, False):
        tower.freeze(frozen)
        tower.train()
        assert not tower.encoder.training
        trains = {name.split(".")[0] for name, each in tower.named_parameters() if each.requires_grad}
        assert trains == (set() if frozen else {"bag", "map"})
    optimizer = torch.optim.SGD([each for each in tower.parameters() if each.requires_grad], 0.1)
    ids_BT, mask_BT = inputs(tokenizer)
    tower.pool(tower(ids_BT, mask_BT), mask_BT).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(before[name], each) for name, each in tower.encoder.state_dict().items())
    assert tower.map.weight.grad.abs().sum() > 0 and tower.bag.embedding.weight.grad.abs().sum() > 0


def test_it_is_rebuilt_without_its_checkpoint_and_is_lower_then_upper(made):
    tower, _, tokenizer = made
    rebuilt = TOWER.build(json.loads(json.dumps(tower.config)))
    rebuilt.load_state_dict(tower.state_dict())
    ids_BT, mask_BT = inputs(tokenizer)
    with torch.no_grad():
        states_BTD = tower(ids_BT, mask_BT)
        assert torch.equal(rebuilt.eval()(ids_BT, mask_BT), states_BTD)
        assert torch.equal(tower.upper(tower.lower(ids_BT, mask_BT), ids_BT, mask_BT), states_BTD)
    assert tower.mlm_logits(states_BTD).shape[2] == tokenizer.size


@pytest.mark.filterwarnings("ignore")
def test_its_graph_equals_it(made, tmp_path):
    tower, _, tokenizer = made
    clip = DualEncoder(
        {
            "vision": {"tower": "small_cnn", "width": 16, "image_size": 32}, "text": tower.config,
            "embed_dim": WIDTH, "projection_hidden": 0, "dropout": 0.0, "temperature": 0.07,
            "words": ["ball"], "fusion_width": 16, "fusion_layers": 1, "vocab_size": tokenizer.size,
        }
    ).eval()  # fmt: skip
    clip.text.load_state_dict(tower.state_dict())
    onnx_graphs.export_graph("text_encoder", None, clip, tmp_path / "text.onnx", 20)
    session = onnxruntime.InferenceSession(tmp_path / "text.onnx", providers=["CPUExecutionProvider"])
    ids_BT, mask_BT = tokenizer.batch(TEXTS, LENGTH, pad_to=LENGTH)
    _, embeds_BE = session.run(None, {"ids": ids_BT, "text_mask": mask_BT})
    with torch.no_grad():
        _, expected_BE = clip.encode_text(torch.from_numpy(ids_BT), torch.from_numpy(mask_BT))
    np.testing.assert_allclose(embeds_BE, expected_BE.numpy(), atol=1e-4)
