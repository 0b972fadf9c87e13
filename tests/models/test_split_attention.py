"""`finetune.split_cross_attention`: image and question are read by an attention each, SPIN gates one."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from sightline.export import onnx_graphs
from sightline.models.attention import Attention
from sightline.models.layer_config import LayerStyle
from sightline.models.layers import DecoderLayer
from sightline.models.vlm import Memory
from sightline.spin.gate import SpinInputs, Variant
from tests.support import tiny

V, D, H, P, Q = 60, 32, 4, 5, 3
# float32 in another order of summation; measured 2e-6 on logits of order 10.
ATOL = 2e-5


@pytest.fixture(scope="module")
def models():
    return tiny.models(V, finetune={"split_cross_attention": True})


@pytest.fixture(scope="module")
def inputs():
    draw = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(5, V, (6, 7), generator=draw)
    mask_BT = torch.arange(7) < torch.tensor([[7], [3], [5], [7], [4], [6]])
    answer_BT = torch.randint(5, V, (6, 8), generator=draw)
    return torch.randn(2, 3, 32, 32, generator=draw), ids_BT, mask_BT, answer_BT


def remember(vlm, inputs, rows=slice(None)):
    image, ids_BT, mask_BT, _ = inputs
    pictures = torch.tensor([0, 0, 0, 1, 1, 1])[rows].unique()
    ids_BT, mask_BT = ids_BT[rows], mask_BT[rows]
    return vlm.memory(vlm.image_tokens(image)[pictures], vlm.text_states(ids_BT, mask_BT), ids_BT, mask_BT)


def joined(vlm, inputs):
    """The same memory, of a picture for every row and in one piece, as an exported decoder reads it."""
    image, ids_BT, mask_BT, _ = inputs
    tokens = vlm.image_tokens(image)[torch.tensor([0, 0, 0, 1, 1, 1])]
    memory = vlm.memory(tokens, vlm.text_states(ids_BT, mask_BT), ids_BT, mask_BT)
    return Memory.of(*memory.joined(), memory.mask_BM, memory.image_BM)


def spin(k=2, alpha=0.0, score="mass", **more):
    return SpinInputs(torch.tensor([k, k]), torch.tensor(alpha), score, **more)


def as_torch(own: Attention, rest: bool) -> nn.MultiheadAttention:
    """torch's attention with the same weights."""
    theirs = nn.MultiheadAttention(D, H, batch_first=True, add_zero_attn=rest)
    with torch.no_grad():
        parts = (own.query, own.key, own.value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.weight.copy_(own.output.weight)
        theirs.out_proj.bias.copy_(own.output.bias)
    return theirs


@torch.no_grad()
def test_a_layer_equals_two_attentions_of_torch_added():
    """Every weight of the layer but those of the two readers is undone, so what is left is their sum."""
    torch.manual_seed(0)
    layer = DecoderLayer(D, H, D // H, 4 * D, 0.0, LayerStyle(), split=True).eval()
    for module in (layer.self_attention.output, layer.feed_forward.reduce):
        nn.init.zeros_(module.weight), nn.init.zeros_(module.bias)
    x_BTD, image_BPD, question_BQD = torch.randn(2, 4, D), torch.randn(2, P, D), torch.randn(2, Q, D)
    told_BQ = torch.tensor([[True, True, True], [True, False, False]])
    key_value = [
        torch.cat(parts, 2)
        for parts in zip(layer.cross_attention.keys_values(image_BPD),
                         layer.question_reader.keys_values(question_BQD), strict=True)
    ]  # fmt: skip
    mask_BM = torch.cat([torch.ones(2, P, dtype=torch.bool), told_BQ], 1)
    image_BM = (torch.arange(P + Q) < P).expand(2, -1)
    found = layer(x_BTD, tuple(key_value), torch.ones(4, 4, dtype=torch.bool).tril(),
                  mask_BM[:, None, None], need_weights=True, image_mask=image_BM[:, None, None])  # fmt: skip
    query_BTD = layer.cross_norm(x_BTD)
    image, image_map = as_torch(layer.cross_attention, True)(
        query_BTD, image_BPD, image_BPD, average_attn_weights=False
    )
    asked, asked_map = as_torch(layer.question_attention, False)(
        query_BTD, question_BQD, question_BQD, ~told_BQ, average_attn_weights=False
    )
    torch.testing.assert_close(found.x, x_BTD + image + asked, atol=ATOL, rtol=0)
    torch.testing.assert_close(found.map[..., :P], image_map[..., :P], atol=ATOL, rtol=0)
    torch.testing.assert_close(found.map[..., P:], asked_map, atol=ATOL, rtol=0)
    assert (found.map[..., :P].sum(-1) < 1).all()  # a head may look at nothing


@torch.no_grad()
@pytest.mark.parametrize("score", ["mass", "logit_sum"])
def test_the_gate_silences_readers_of_the_image_alone(models, inputs, score):
    vlm, answer_BT = models[0], inputs[3]
    memory = remember(vlm, inputs)
    plain = vlm.step(answer_BT, None, memory, need_maps=True)
    gated = vlm.step(answer_BT, None, memory, spin(1, 0.0, score), need_maps=True)
    assert (gated.gates == 1).sum() * H == gated.gates.numel()
    if score == "mass":
        mass_BHT = gated.maps[0][..., :64].sum(-1)
        torch.testing.assert_close(gated.gates[0].argmax(1), mass_BHT.argmax(1))
    assert not torch.allclose(gated.logits, plain.logits, atol=1e-3)
    # Without a picture all image readers rest, so there is nothing that silencing them could change.
    blind = joined(vlm, inputs)._replace(mask_BM=memory.mask_BM & ~memory.image_BM)
    expected = vlm.step(answer_BT, None, blind).logits
    assert torch.equal(vlm.step(answer_BT, None, blind, spin(1, 0.0, score)).logits, expected)
    everything = vlm.step(answer_BT, None, memory, spin(H, 0.0, score)).logits
    assert torch.equal(everything, plain.logits)


@torch.no_grad()
@pytest.mark.parametrize("how", [
    None, spin(), spin(1, 0.5, "logit_sum"), spin(amplify=0.5),
    spin(variant=Variant([[0.5] * H] * 2, "inverse", rescale=True)),
], ids=["off", "mass", "logit_sum", "amplified", "inverse"])  # fmt: skip
def test_shared_joined_cached_batched_and_alone_agree(models, inputs, how):
    vlm, answer_BT = models[0], inputs[3]
    memory = remember(vlm, inputs)
    whole = vlm.step(answer_BT, None, memory, how, need_maps=True)
    once = vlm.step(answer_BT, None, joined(vlm, inputs), how, need_maps=True)
    torch.testing.assert_close(once.logits, whole.logits, atol=ATOL, rtol=0)
    torch.testing.assert_close(once.maps, whole.maps, atol=ATOL, rtol=0)
    cache, parts = vlm.empty_cache(6), []
    for start, end in ((0, 1), (1, 2), (2, 8)):
        parts.append(vlm.step(answer_BT[:, start:end], cache, memory, how))
        cache = parts[-1].cache
    torch.testing.assert_close(torch.cat([p.logits for p in parts], 1), whole.logits, atol=ATOL, rtol=0)
    for row in range(6):
        rows = slice(row, row + 1)
        alone = vlm.step(answer_BT[rows], None, remember(vlm, inputs, rows), how)
        torch.testing.assert_close(alone.logits[0], whole.logits[row], atol=ATOL, rtol=0)
        if how is not None:
            assert torch.equal(alone.gates[:, 0], whole.gates[:, row])


@pytest.mark.parametrize("k, alpha", [(4, 1.0), (2, 0.0)])
def test_exported_graphs_equal_pytorch(models, inputs, tmp_path_factory, k, alpha):
    vlm, clip = models
    folder = tmp_path_factory.getbasetemp() / "split"
    if not folder.exists():
        folder.mkdir()
        for name in ("memory", "decoder"):
            onnx_graphs.export_graph(name, vlm, clip, folder / f"{name}.onnx", 20)
    sessions = {name: ort.InferenceSession(folder / f"{name}.onnx") for name in ("memory", "decoder")}
    image, ids_BT, mask_BT, answer_BT = inputs
    with torch.no_grad():
        tokens = vlm.image_tokens(image)[torch.tensor([0, 0, 0, 1, 1, 1])]
        expected = vlm.step(answer_BT, None, remember(vlm, inputs), spin(k, alpha), need_maps=True)
        states_BTD = vlm.text_states(ids_BT, mask_BT)
    asked = {"image_tokens": tokens, "states": states_BTD, "ids": ids_BT, "text_mask": mask_BT}
    cross_k, cross_v, mask, seen = sessions["memory"].run(
        None, {name: value.numpy() for name, value in asked.items()}
    )
    cache, parts = [part.numpy() for part in vlm.empty_cache(6)], []
    for start, end in ((0, 1), (1, 2), (2, 8)):
        logits, *cache, maps, gates = tiny.decode(sessions["decoder"], {
            "tokens": answer_BT[:, start:end].numpy(), "self_k": cache[0], "self_v": cache[1],
            "cross_k": cross_k, "cross_v": cross_v, "mask": mask, "image": seen,
            "heads_kept": np.array([k, k]), "alpha": np.array(alpha, np.float32),
        })  # fmt: skip
        parts.append((logits, maps, gates))
    logits, maps, gates = (
        np.concatenate(part, axis) for part, axis in zip(zip(*parts, strict=True), (1, 3, 3), strict=True)
    )
    np.testing.assert_array_equal(gates, expected.gates.numpy())
    np.testing.assert_allclose(maps, expected.maps.numpy(), atol=ATOL)
    np.testing.assert_allclose(logits, expected.logits.numpy(), atol=1e-4)


def test_a_model_that_reads_both_at_once_has_no_weights_of_it():
    """Of the same seed, also the same weights as before there was a choice: nothing more is drawn."""
    plain, split = (
        tiny.models(V, finetune={"split_cross_attention": choice})[0].state_dict() for choice in (False, True)
    )
    more = set(split) - set(plain)
    assert more and all(".question_attention." in name for name in more)
    assert set(plain) < set(split)
