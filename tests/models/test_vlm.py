"""The question-answering model: sharing, caching, SPIN, the aligned start, rebuilding from its config."""

import json

import numpy as np
import pytest
import torch

from sightline.inference.torch_engine import TorchEngine
from sightline.models.decoder.cross_attention import CrossAttentionVLM, from_clip
from sightline.models.dual_encoder import DualEncoder
from sightline.models.init_from_alignment import MARK_LENGTH, SHARPNESS
from sightline.spin.gate import SpinInputs

CLIP = {
    "vision": {"tower": "small_cnn", "image_size": 32, "width": 32},
    "text": {"tower": "bert", "width": 32, "layers": 1, "heads": 2, "max_tokens": 12},
    "vocab_size": 60,
    "embed_dim": 16,
    "projection_hidden": 0,
    "dropout": 0.0,
    "temperature": 0.07,
    "words": [f"word{i}" for i in range(20)],
    "fusion_width": 32,
    "fusion_layers": 1,
}
WORD_IDS = [[10 + i] for i in range(19)] + [[40, 41]]
FINETUNE = {
    "width": 32, "layers": 2, "heads": 4, "joint_block": True, "positions": True, "init_from_alignment": True,
    "max_answer": 9, "max_question": 8, "dropout": 0.0,
}  # fmt: skip
# float32 in another order of summation; measured worst case 2e-6 on logits of order 10.
ATOL = 2e-5


@pytest.fixture(scope="module")
def clip() -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(CLIP).eval()


@pytest.fixture(scope="module")
def vlm(clip) -> CrossAttentionVLM:
    torch.manual_seed(1)
    return from_clip(clip, FINETUNE, WORD_IDS).eval()


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(2)
    mask_BT = torch.ones(6, 6, dtype=torch.bool)
    mask_BT[1, 3:] = False
    mask_BT[4, 5:] = False
    return {
        "image": torch.randn(2, 3, 32, 32, generator=generator),
        "index": torch.tensor([0, 0, 0, 1, 1, 1]),
        "ids": torch.randint(5, 60, (6, 6), generator=generator),
        "mask": mask_BT,
        "answer": torch.randint(5, 60, (6, 4), generator=generator),
    }


def remember(model: CrossAttentionVLM, inputs: dict, rows: slice = slice(None)):
    ids, mask = inputs["ids"][rows], inputs["mask"][rows]
    states = model.text_states(ids, mask)
    images = inputs["index"][rows].unique()
    return model.memory(model.image_tokens(inputs["image"])[images], states, ids, mask)


def spin_inputs(k: int, alpha: float, score: str = "mass") -> SpinInputs:
    return SpinInputs(torch.tensor([k, k]), torch.tensor(alpha), score)


@torch.no_grad()
def test_memory_layout(vlm, inputs):
    memory = remember(vlm, inputs)
    for layer in memory.layers:
        assert [part.shape for part in layer.shared] == [(2, 4, 64, 8)] * 2  # two images
        assert [part.shape for part in layer.per_row] == [(6, 4, 6, 8)] * 2  # three questions each
    assert memory.image_BM[:, :64].all() and not memory.image_BM[:, 64:].any()
    assert memory.mask_BM[:, :64].all() and torch.equal(memory.mask_BM[:, 64:], inputs["mask"])


@torch.no_grad()
@pytest.mark.parametrize("spin", [None, spin_inputs(2, 0.5)])
def test_cached_steps_equal_one_pass(vlm, inputs, spin):
    memory = remember(vlm, inputs)
    whole = vlm.step(inputs["answer"], None, memory, spin, need_maps=True)
    cache, parts = vlm.empty_cache(6), []
    for position in range(4):
        parts.append(
            vlm.step(inputs["answer"][:, position : position + 1], cache, memory, spin, need_maps=True)
        )
        cache = parts[-1].cache
    torch.testing.assert_close(torch.cat([p.logits for p in parts], 1), whole.logits, atol=ATOL, rtol=0)
    torch.testing.assert_close(torch.cat([p.maps for p in parts], 3), whole.maps, atol=ATOL, rtol=0)
    torch.testing.assert_close(cache[0], whole.cache[0], atol=ATOL, rtol=0)
    assert whole.maps.shape == (2, 6, 4, 4, 70)
    torch.testing.assert_close(whole.maps.sum(-1), torch.ones(2, 6, 4, 4), atol=ATOL, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("score", ["mass", "logit_sum"])
def test_row_alone_equals_row_in_batch(vlm, inputs, score):
    """Also the questions of one image share its keys and values without hearing each other."""
    spin = spin_inputs(2, 0.0, score)
    batch = vlm.step(inputs["answer"], None, remember(vlm, inputs), spin, need_maps=True)
    for row in range(6):
        rows = slice(row, row + 1)
        alone = vlm.step(inputs["answer"][rows], None, remember(vlm, inputs, rows), spin, need_maps=True)
        torch.testing.assert_close(alone.logits[0], batch.logits[row], atol=ATOL, rtol=0)
        assert torch.equal(alone.gates[:, 0], batch.gates[:, row])


@torch.no_grad()
def test_all_heads_kept_is_bit_identical_to_no_gate(vlm, inputs):
    memory = remember(vlm, inputs)
    plain = vlm.step(inputs["answer"], None, memory)
    gated = vlm.step(inputs["answer"], None, memory, spin_inputs(4, 0.0))
    assert torch.equal(plain.logits, gated.logits)
    assert plain.gates is None and plain.maps is None and (gated.gates == 1).all()


@torch.no_grad()
def test_gates_keep_the_heads_that_look_at_the_image_most(vlm, inputs):
    memory = remember(vlm, inputs)
    out = vlm.step(inputs["answer"], None, memory, spin_inputs(1, 0.25), need_maps=True)
    mass_BHT = (out.maps[0] * memory.image_BM[:, None, None, :]).sum(-1)
    torch.testing.assert_close(out.gates[0].argmax(1), mass_BHT.argmax(1))
    assert sorted(out.gates.unique().tolist()) == [0.25, 1.0]
    assert not torch.allclose(out.logits, vlm.step(inputs["answer"], None, memory).logits, atol=1e-3)


@torch.no_grad()
def test_padding_of_the_question_changes_nothing(vlm, inputs):
    changed = {**inputs, "ids": torch.where(inputs["mask"], inputs["ids"], 7)}
    a = vlm.step(inputs["answer"], None, remember(vlm, inputs)).logits
    b = vlm.step(inputs["answer"], None, remember(vlm, changed)).logits
    torch.testing.assert_close(a, b, atol=ATOL, rtol=0)


@torch.no_grad()
def test_later_tokens_do_not_change_earlier_ones(vlm, inputs):
    memory = remember(vlm, inputs)
    changed = inputs["answer"].clone()
    changed[:, 2:] = 9
    before, after = (vlm.step(tokens, None, memory).logits for tokens in (inputs["answer"], changed))
    torch.testing.assert_close(before[:, :2], after[:, :2], atol=ATOL, rtol=0)


@torch.no_grad()
def test_aligned_start(vlm, clip):
    """Attention starts as similarity and copying, and a patch enters as the words that its word head sees."""
    for attention in (vlm.decoder.layers[0].cross_attention, vlm.joint.attention):
        assert torch.equal(attention.query.weight, SHARPNESS * attention.key.weight)
        assert torch.equal(attention.output.weight, attention.value.weight.T)
        identity = attention.value.weight.T @ attention.value.weight
        torch.testing.assert_close(identity, torch.eye(32), atol=1e-5, rtol=0)
    words_VD = vlm.embedding.weight
    torch.testing.assert_close(words_VD.norm(dim=1), torch.ones(60), atol=1e-5, rtol=0)
    mark_D = vlm.joint.image_norm.bias  # of words that see something; the answer's first token looks for it
    torch.testing.assert_close(mark_D.norm(), torch.tensor(MARK_LENGTH))
    assert torch.cosine_similarity(vlm.token_positions.table.weight[0], mark_D, dim=0) > 0.99
    token_D = torch.randn(32)
    weights_WD = clip.word_head.weight - clip.word_head.weight.mean(0)
    expected = sum((weights_WD[i] @ token_D) * words_VD[ids].mean(0) for i, ids in enumerate(WORD_IDS))
    torch.testing.assert_close(vlm.image_projection(token_D), expected, atol=1e-4, rtol=1e-4)


def test_a_start_from_a_word_head_without_words():
    """Captions that agree on no word leave none to start from; the image projection stays as it was drawn."""
    wordless = DualEncoder(CLIP | {"words": []})
    model = from_clip(wordless, FINETUNE, [])
    assert model.image_projection.weight.abs().sum() > 0
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


@torch.no_grad()
def test_aligned_start_of_options(clip):
    """Grouped heads start as similarity and copying too: every group reads its keys, and the copies of a
    group's value add up to one. An untied output begins as the words."""
    model = from_clip(clip, {**FINETUNE, "key_value_heads": 2, "tie_embeddings": False}, WORD_IDS)
    attention = model.decoder.layers[0].cross_attention
    for head in range(4):
        rows, shared = slice(8 * head, 8 * head + 8), slice(8 * (head // 2), 8 * (head // 2) + 8)
        assert torch.equal(attention.query.weight[rows], SHARPNESS * attention.key.weight[shared])
    value_ED = attention.value.weight
    copied_DD = attention.output.weight @ value_ED.view(2, 8, 32).repeat_interleave(2, 0).flatten(0, 1)
    torch.testing.assert_close(copied_DD, value_ED.T @ value_ED, atol=1e-5, rtol=0)
    assert torch.equal(model.output, model.embedding.weight) and model.output is not model.embedding.weight


@torch.no_grad()
def test_aligned_words_are_as_different_as_the_width_allows():
    torch.manual_seed(3)
    small = DualEncoder({**CLIP, "vocab_size": 20, "words": ["a", "b"]})
    words_VD = from_clip(small, FINETUNE, [[5], [6, 7]]).embedding.weight  # 20 words in 32 dimensions
    off_diagonal = (words_VD @ words_VD.T)[~torch.eye(20, dtype=torch.bool)]
    assert off_diagonal.abs().max() < 0.1  # random ones reach 0.5
    plural_VD = from_clip(small, FINETUNE, [[5], [6, 7]], {0: 9}).embedding.weight  # token 9: plural of "a"
    assert 0.6 < plural_VD[9] @ plural_VD[5] < 0.8


@pytest.mark.parametrize("change", [{}, {"width": 48}, {"joint_block": False}, {"positions": False}])
def test_options_build_train_and_rebuild(clip, inputs, change):
    model = from_clip(clip, {**FINETUNE, **change}, WORD_IDS)
    model.step(inputs["answer"], None, remember(model, inputs)).logits.sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("text."), name
    rebuilt = CrossAttentionVLM(json.loads(json.dumps(model.config)))
    rebuilt.load_state_dict(model.state_dict())
    model.eval(), rebuilt.eval()
    with torch.no_grad():
        a, b = (m.step(inputs["answer"], None, remember(m, inputs)).logits for m in (model, rebuilt))
    assert torch.equal(a, b)


def test_pruned_shapes_rebuild(vlm, inputs):
    config = {**vlm.config, "decoder_heads": 3, "decoder_hidden": 50}
    model = CrossAttentionVLM(config)
    out = model.step(
        inputs["answer"], model.empty_cache(6), remember(model, inputs), spin_inputs(2, 0.0), True
    )
    assert out.maps.shape == (2, 6, 3, 4, 70)


def test_blind_model_sees_nothing(clip, inputs):
    model = from_clip(clip, FINETUNE, WORD_IDS, blind=True).eval()
    assert not hasattr(model, "vision")
    other = {**inputs, "image": inputs["image"] + 1.0}
    with torch.no_grad():
        a, b = (model.step(inputs["answer"], None, remember(model, x)).logits for x in (inputs, other))
    assert torch.equal(a, b)


def test_training_mode_keeps_batch_norm_statistics_and_the_text_tower(clip, inputs):
    """So that training, evaluation and any split into processes compute the same function."""
    model = from_clip(clip, FINETUNE, WORD_IDS).train()
    before = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
    trained = model.image_tokens(inputs["image"])
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items()) and before
    assert not model.text.training and model.decoder.training
    assert torch.equal(trained, model.eval().image_tokens(inputs["image"]))


def test_width_must_fit_heads(clip):
    with pytest.raises(ValueError, match="finetune.width 30 is not a multiple of finetune.heads 4"):
        from_clip(clip, {**FINETUNE, "width": 30}, WORD_IDS)


def test_engine_equals_the_model(vlm, clip, inputs):
    engine = TorchEngine(vlm, clip)
    arrays = {name: value.numpy() for name, value in inputs.items()}
    tokens = engine.image_tokens(arrays["image"])[arrays["index"]]
    memory = engine.memory(tokens, arrays["ids"], arrays["mask"])
    step = engine.step(arrays["answer"], None, memory, np.array([2, 2]), 0.5, True)
    with torch.no_grad():
        expected = vlm.step(inputs["answer"], None, remember(vlm, inputs), spin_inputs(2, 0.5), True)
    np.testing.assert_allclose(step.logits_BTV, expected.logits.numpy(), atol=ATOL)
    np.testing.assert_array_equal(step.gates_LBHT, expected.gates.numpy())
    more = engine.step(arrays["answer"][:, :1], step.cache, memory, np.array([4, 4]), 0.0, False)
    assert more.maps_LBHTM is None and more.cache[0].shape == (2, 6, 4, 5, 8)
    assert engine.config["heads"] == 4 and engine.config["layers"] == 2
    patches, embeds = engine.embed_images(arrays["image"])
    states, texts = engine.embed_texts(arrays["ids"], arrays["mask"])
    np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-6)
    assert engine.match(patches[arrays["index"]], states, arrays["mask"]).shape == (6,)


def test_engine_says_what_is_missing(vlm, clip, inputs):
    with pytest.raises(ValueError, match="needs the dual encoder"):
        TorchEngine(vlm, None).embed_images(inputs["image"].numpy())
    with pytest.raises(ValueError, match="needs the VLM"):
        TorchEngine(None, clip).image_tokens(inputs["image"].numpy())
    with pytest.raises(ValueError, match="got neither"):
        TorchEngine(None, None)
