"""Text encoders of transformers as towers (WordPiece, BPE, Unigram): states and pooled texts equal theirs."""

import json
import os

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from sightline.core import registry
from sightline.core.params.generation import SPIN_OFF
from sightline.data import tokenizer_files
from sightline.data.tokenizer import Tokenizer
from sightline.explain import masked_word, target
from sightline.export import onnx_graphs
from sightline.inference import torch_session
from sightline.models.dual_encoder import DualEncoder
from tests.support import tiny
from tests.support.text_encoders import ENCODERS, POSITIONS, checkpoint

HF = registry.load("models/text", "hf")
TEXTS = [tiny.CAPTIONS[0], "a ball", "Don't run!"]
LENGTH = 32


def built(name, folder):
    """(tower, transformers' model, tokenizer) of a checkpoint in `folder`."""
    reference = checkpoint(name, folder)
    config = {"tower": "hf", "checkpoint": str(folder), "max_tokens": LENGTH}
    tokenizer = Tokenizer.load(HF.tokenizer_path(config))
    return HF.build({**config, "vocab_size": tokenizer.size}).eval(), reference, tokenizer


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Name -> (tower, transformers' model, tokenizer)."""
    return {name: built(name, tmp_path_factory.mktemp(name)) for name in ENCODERS}


def inputs(tokenizer, texts=TEXTS):
    return [torch.from_numpy(array) for array in tokenizer.batch(texts, LENGTH)]


def published(name, reference, tokenizer, text):
    """(states [T, D], pooled [D]) of one text, as its authors compute them."""
    ids = torch.tensor([tokenizer.encode(text, LENGTH)])
    if name == "siglip":  # padded to its whole length, without a mask
        padding = torch.full((1, POSITIONS - ids.shape[1]), reference.config.pad_token_id)
        out = reference(input_ids=torch.cat([ids, padding], 1))
        return out.last_hidden_state[0, : ids.shape[1]], out.pooler_output[0]
    out = reference(input_ids=ids)
    states_TD = out.last_hidden_state[0]
    if name.startswith("clip"):
        return states_TD, out.pooler_output[0]
    return states_TD, states_TD[-1] if name == "gpt2" else states_TD.mean(0)


@pytest.mark.parametrize("name", ENCODERS)
def test_states_and_pooled_texts_equal_transformers(encoders, name):
    tower, reference, tokenizer = encoders[name]
    ids_BT, mask_BT = inputs(tokenizer)
    with torch.no_grad():
        states_BTD = tower(ids_BT, mask_BT)
        pooled_BD = tower.pool(states_BTD, mask_BT)
        for row, text in enumerate(TEXTS):
            states_TD, pooled_D = published(name, reference, tokenizer, text)
            end = len(states_TD) - (1 if name == "siglip" else 0)  # where the end stands for the whole text
            torch.testing.assert_close(states_BTD[row, :end], states_TD[:end], atol=1e-5, rtol=0)
            torch.testing.assert_close(pooled_BD[row], pooled_D, atol=1e-5, rtol=0)
    assert float((pooled_BD[0] - pooled_BD[1]).norm()) > 1e-3


@pytest.mark.parametrize("name", ENCODERS)
def test_it_trains_and_is_rebuilt_without_its_checkpoint(encoders, name):
    tower, _, tokenizer = encoders[name]
    ids_BT, mask_BT = inputs(tokenizer)
    rebuilt = HF.build(json.loads(json.dumps({**tower.config, "checkpoint": "gone"})))
    rebuilt.load_state_dict(tower.state_dict())
    with torch.no_grad():
        assert torch.equal(rebuilt.eval()(ids_BT, mask_BT), tower(ids_BT, mask_BT))
    rebuilt.train()
    rebuilt.pool(rebuilt(ids_BT, mask_BT), mask_BT).square().mean().backward()
    slopes = [p.grad for p in rebuilt.model.parameters() if p.grad is not None]
    assert all(torch.isfinite(slope).all() for slope in slopes)
    assert rebuilt.word_embeddings().shape == (tokenizer.size, rebuilt.width)
    assert rebuilt.model.get_input_embeddings().weight.grad.abs().sum() > 0
    assert rebuilt.mlm_logits(rebuilt(ids_BT, mask_BT)).shape[2] == tokenizer.size


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ENCODERS)
def test_the_exported_text_encoder_equals_the_tower(encoders, name, tmp_path):
    tower, _, tokenizer = encoders[name]
    clip = DualEncoder(
        {
            "vision": {"tower": "small_cnn", "width": 16, "image_size": 32}, "text": tower.config,
            "embed_dim": 16, "projection_hidden": 0, "dropout": 0.0, "temperature": 0.07, "words": ["ball"],
            "fusion_width": 16, "fusion_layers": 1, "vocab_size": tokenizer.size,
        }
    ).eval()  # fmt: skip
    clip.text.load_state_dict(tower.state_dict())
    onnx_graphs.export_graph("text_encoder", None, clip, tmp_path / "text.onnx", 20)
    session = onnxruntime.InferenceSession(tmp_path / "text.onnx", providers=["CPUExecutionProvider"])
    for texts, length in ((TEXTS, LENGTH), (TEXTS[1:2], 12)):
        ids_BT, mask_BT = tokenizer.batch(texts, length, pad_to=length)
        states_BTD, embeds_BE = session.run(None, {"ids": ids_BT, "text_mask": mask_BT})
        with torch.no_grad():
            expected = clip.encode_text(torch.from_numpy(ids_BT), torch.from_numpy(mask_BT))
        np.testing.assert_allclose(states_BTD[mask_BT], expected[0].numpy()[mask_BT], atol=1e-4)
        np.testing.assert_allclose(embeds_BE, expected[1].numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "roberta", "mpnet", "e5"])
def test_a_masked_word_is_explained(encoders, name):
    tower, _, tokenizer = encoders[name]
    found = masked_word.explain(tower, tokenizer, "a small [MASK] ball")
    assert [word for word, _ in found.carried_by] == ["a", "small", "ball"]
    assert len(found.words) == 5 and 0 < sum(probability for _, probability in found.words) <= 1
    # Integrated gradients are complete: what the words give is what they change.
    assert any(abs(share) > 1e-6 for _, share in found.carried_by)


@pytest.mark.parametrize("name", ["clip", "siglip", "gpt2"])
def test_without_a_mask_token_no_masked_word_is_explained(encoders, name):
    tower, _, tokenizer = encoders[name]
    with pytest.raises(ValueError, match="tokenizer has no mask token"):
        masked_word.explain(tower, tokenizer, "a small [MASK] ball")


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_words_of_a_question_are_explained_without_a_mask_token(encoders, name, tmp_path):
    tower, _, tokenizer = encoders[name]
    vision = {"tower": "small_cnn", "width": 32, "image_size": 32}
    vlm, clip = tiny.models(tokenizer.size, text=tower.config, vision=vision)
    tiny.write_settings(tmp_path)
    checkpoint(name, tmp_path / "published")
    tokenizer_files.copy(tmp_path / "published" / "tokenizer.json", tmp_path)
    model = target.ExplainedModel(torch_session.session(vlm, clip, tmp_path), SPIN_OFF, lambda: vlm, 7)
    answer = target.force(
        model, tiny.pictures(1)[0], tiny.QUESTIONS[0], tokenizer.encode_answer("a red ball", 9)[1:-1]
    )
    assert [word for word, _ in answer.words] == ["a", "red", "ball"]
    for method in ("attention_rollout", "grad_cam", "occlusion"):
        heat = registry.load("explain/methods", method).explain(model, answer, answer.words[1][1])
        assert [word for word, _ in heat.text_scores] == [word for word, _ in answer.question_words]
        assert any(abs(share) > 0 for _, share in heat.text_scores)


def test_sentence_transformers_files_decide_the_pooling(tmp_path):
    checkpoint("bert", tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    config = {"tower": "hf", "checkpoint": str(tmp_path), "max_tokens": LENGTH}
    states_BTD = torch.randn(2, 5, 32)
    mask_BT = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    expected = {"cls_token": states_BTD[:, 0], "lasttoken": states_BTD[[0, 1], [4, 2]],
                "mean_tokens": torch.stack([states_BTD[0].mean(0), states_BTD[1, :3].mean(0)])}  # fmt: skip
    for mode in ("cls_token", "lasttoken", "mean_tokens"):
        told = {f"pooling_mode_{key}": key == mode for key in expected}
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(told))
        torch.testing.assert_close(HF.build(config).pool(states_BTD, mask_BT), expected[mode])


def test_rows_to_spare_stay_out_of_the_vocabulary(tmp_path):
    checkpoint("bert", tmp_path, spare_rows=7)
    tokenizer = Tokenizer.load(tmp_path / "tokenizer.json")
    config = {"tower": "hf", "checkpoint": str(tmp_path), "max_tokens": LENGTH, "vocab_size": tokenizer.size}
    tower = HF.build(config)
    assert len(tower.word_embeddings()) == tokenizer.size
    assert masked_word.explain(tower.eval(), tokenizer, "a [MASK] ball").words
    with pytest.raises(ValueError, match=f"has {tokenizer.size + 8} tokens, its model embeds"):
        HF.build({**config, "vocab_size": tokenizer.size + 8})


@pytest.mark.parametrize(("name", "limit"), [("bert", 40), ("roberta", 38), ("clip", 40), ("gpt2", 40)])
def test_more_tokens_than_positions_are_refused(tmp_path, name, limit):
    checkpoint(name, tmp_path)
    config = {"tower": "hf", "checkpoint": str(tmp_path)}
    HF.build({**config, "max_tokens": limit})
    with pytest.raises(ValueError, match=f"text.max_tokens is {limit + 1}, but .* reads {limit} at most"):
        HF.build({**config, "max_tokens": limit + 1})


def test_incomplete_weights_and_pickles_are_refused(tmp_path):
    checkpoint("bert", tmp_path)
    config = {"tower": "hf", "checkpoint": str(tmp_path), "max_tokens": LENGTH}
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layer.1.output" not in name}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 4 tensors of a bert, the first is encoder.layer.1.output"):
        HF.build(config)
    os.rename(tmp_path / "model.safetensors", tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot load"):
        HF.build(config)
