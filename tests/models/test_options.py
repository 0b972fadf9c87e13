"""Every option of the text encoder and the decoder: it builds, learns, decodes from its cache, is pruned,
rebuilt from its config and exported."""

import json
from functools import partial

import numpy as np
import onnxruntime as ort
import pytest
import torch

from sightline.compress import structured_pruning
from sightline.core.params.tower_params import TextParams
from sightline.export import onnx_graphs
from sightline.models.decoder.cross_attention import CrossAttentionVLM
from sightline.models.transformer import checkpoint_layers
from sightline.spin.gate import SpinInputs
from tests.support import tiny

V = 60
CHOICES = {
    "norm": ("pre", "post"),
    "norm_type": ("layer", "rms"),
    "activation": ("gelu", "relu", "tanh", "sigmoid", "swiglu"),
    "positions": ("learned", "sinusoidal", "rotary", "alibi", "none"),
    "key_value_heads": (1, 2),
    "tie_embeddings": (True, False),
}
SINGLE = [{name: value} for name, values in CHOICES.items() for value in values]
LLAMA = {
    "norm_type": "rms", "activation": "swiglu", "positions": "rotary", "key_value_heads": 2,
    "tie_embeddings": False,
}  # fmt: skip
BLOOM = {"positions": "alibi", "key_value_heads": 1, "norm": "post"}
ALIBI = {"positions": "alibi", "activation": "swiglu"}
# float32 in another order of summation: measured 3e-6 on logits of order 10. A lost offset, a wrong group or
# slope moves them by 1e-2 and more.
ATOL = 1e-4


def build(options, aligned=False):
    """(VLM, DualEncoder) with these options in both sections; the text tower has two heads."""
    decoder = {**options, "token_positions": options.get("positions", "learned"), "positions": True}
    decoder["init_from_alignment"] = aligned
    return tiny.models(V, text=options, finetune=decoder)


def inputs():
    draw = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(5, V, (6, 7), generator=draw)
    mask_BT = torch.arange(7) < torch.tensor([[7], [3], [5], [7], [4], [6]])
    return torch.randn(2, 3, 32, 32, generator=draw), ids_BT, mask_BT


def remember(vlm):
    image, ids_BT, mask_BT = inputs()
    return vlm.memory(vlm.image_tokens(image), vlm.text_states(ids_BT, mask_BT), ids_BT, mask_BT)


def answer():
    return torch.randint(5, V, (6, 8), generator=torch.Generator().manual_seed(2))


def whole(vlm):
    with torch.no_grad():
        return vlm.step(answer(), None, remember(vlm)).logits


def test_the_choices_are_those_of_the_schema():
    kinds = {name: field.annotation for name, field in TextParams.model_fields.items()}
    for name in ("norm", "norm_type", "activation", "positions"):
        assert kinds[name].__args__ == CHOICES[name]


@pytest.mark.parametrize("options", [*SINGLE, LLAMA, BLOOM], ids=str)
def test_an_option_learns_decodes_from_its_cache_and_rebuilds(options):
    vlm, clip = build(options, aligned=options.get("key_value_heads") == 2)
    learn(clip)
    vlm.train()
    optimizer = torch.optim.AdamW([p for p in vlm.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(3):
        logits_BTV = vlm.step(answer()[:, :-1], None, remember(vlm)).logits
        loss = torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), answer()[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[2] < losses[0]
    untrained = [n for n, p in vlm.named_parameters() if p.grad is None and not n.startswith("text.")]
    assert untrained == []

    vlm.eval()
    spin = SpinInputs(torch.tensor([2, 3]), torch.tensor(0.5))
    with torch.no_grad():
        memory, cache, parts = remember(vlm), vlm.empty_cache(6), []
        for start, end in ((0, 1), (1, 2), (2, 5), (5, 8)):
            parts.append(vlm.step(answer()[:, start:end], cache, memory, spin, need_maps=True))
            cache = parts[-1].cache
        at_once = vlm.step(answer(), None, memory, spin, need_maps=True)
    stepwise = torch.cat([part.logits for part in parts], 1)
    torch.testing.assert_close(stepwise, at_once.logits, atol=ATOL, rtol=0)
    assert at_once.maps.shape == (2, 6, 4, 8, 71) and at_once.gates.shape == (2, 6, 4, 8)
    assert cache[0].shape == (2, 6, options.get("key_value_heads", 4), 8, 8)

    rebuilt = CrossAttentionVLM(json.loads(json.dumps(vlm.config)))
    rebuilt.load_state_dict(vlm.state_dict())
    assert torch.equal(whole(rebuilt.eval()), whole(vlm))


def learn(clip):
    """Two steps of masked-language modelling of the text tower, in which every weight takes part."""
    tower, (_, ids_BT, mask_BT) = clip.text.train(), inputs()
    optimizer = torch.optim.AdamW(tower.parameters(), lr=1e-3)
    for _ in range(2):
        logits_BTV = tower.mlm_logits(tower(ids_BT, mask_BT))
        loss = torch.nn.functional.cross_entropy(logits_BTV[mask_BT], ids_BT[mask_BT])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.isfinite(loss) and all(p.grad is not None for p in tower.parameters())
    tower.eval()


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary", "alibi"])
def test_positions_tell_order_and_none_does_not(positions):
    """The mean over a question's states changes with its order only where something knows positions."""
    draw = torch.Generator().manual_seed(3)
    ids_BT = torch.randint(5, V, (1, 7), generator=draw)
    mask_BT = torch.ones(1, 7, dtype=torch.bool)
    order, changes = [1, 0, 3, 2, 4, 6, 5], {}  # no mere reversal: ALiBi knows distances, not directions
    for kind in (positions, "none"):
        tower = build({"positions": kind})[1].text.eval()
        with torch.no_grad():
            first, other = (tower(ids, mask_BT).mean(1) for ids in (ids_BT, ids_BT[:, order]))
        changes[kind] = float((first - other).abs().max())
    assert changes["none"] < 1e-5 < 1e-3 < changes[positions]


@pytest.mark.parametrize("options", [LLAMA, BLOOM, ALIBI], ids=str)
def test_pruning_takes_groups_slopes_and_gated_neurons_along(options):
    """Silent units go and nobody misses them: so each head keeps its slope and its group."""
    vlm = build(options)[0]
    with torch.no_grad():
        for number, module in enumerate(structured_pruning.prunable(vlm).values()):
            columns_DUF = structured_pruning._columns(module)
            for unit in range(columns_DUF.shape[1] // 2):
                columns_DUF[:, (number + 2 * unit) % columns_DUF.shape[1]] = 0.0
    smaller = structured_pruning.prune(vlm, structured_pruning.magnitude(vlm), 0.5, 0.5).eval()
    groups = options.get("key_value_heads", 0)
    assert smaller.config["key_value_heads"] == (max(1, groups // 2) if groups else 0)
    assert smaller.config["decoder_heads"] == (4 if groups == 1 else 2)
    assert smaller.config["decoder_hidden"] == -(-vlm.config["decoder_hidden"] // 2)
    if groups == 1:  # one unit is all there is, so its silence cannot be cut out: it stays as it is
        assert smaller.decoder.layers[0].self_attention.heads == 4
    torch.testing.assert_close(whole(smaller), whole(vlm), atol=ATOL, rtol=0)


@pytest.mark.parametrize(
    ("options", "exported"),
    [(LLAMA, onnx_graphs.GRAPHS), (BLOOM, ["decoder"]), ({"key_value_heads": 2}, ["decoder"])],
    ids=str,
)
def test_exported_graphs_equal_pytorch(tmp_path, options, exported):
    """Rotary positions after a cache, RMS norms, SwiGLU and grouped heads; ALiBi after a cache, post-norm;
    grouped heads in attentions of one node each."""
    vlm, clip = build(options)
    for name in set(exported) & {"text_encoder", "memory", "decoder"}:
        onnx_graphs.export_graph(name, vlm, clip, tmp_path / f"{name}.onnx", 20)
    sessions = {path.stem: ort.InferenceSession(path) for path in tmp_path.iterdir()}
    image, ids_BT, mask_BT = inputs()
    image = image[torch.tensor([0, 0, 0, 1, 1, 1])]
    with torch.no_grad():
        encoded = clip.encode_text(ids_BT, mask_BT)
        tokens = vlm.image_tokens(image)
        memory = vlm.memory(tokens, vlm.text_states(ids_BT, mask_BT), ids_BT, mask_BT)
        expected = vlm.step(answer(), None, remember(vlm)).logits
    read = [part.numpy() for part in (*memory.joined(), memory.mask_BM, memory.image_BM)]
    if "memory" in sessions:
        text = {"ids": ids_BT.numpy(), "text_mask": mask_BT.numpy()}
        found = sessions["text_encoder"].run(["states", "embeds"], text)
        for theirs, ours in zip(found, encoded, strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), atol=ATOL)
        asked = {"image_tokens": tokens.numpy(), "states": found[0], **text}
        exact, read = read, sessions["memory"].run(None, asked)
        for theirs, ours in zip(read, exact, strict=True):
            np.testing.assert_allclose(theirs, ours, atol=ATOL)
    cross_k, cross_v, mask, seen = read
    cache, parts = [part.numpy() for part in vlm.empty_cache(6)], []
    for start, end in ((0, 1), (1, 2), (2, 8)):
        logits, *cache, _, _ = tiny.decode(sessions["decoder"], {
            "tokens": answer()[:, start:end].numpy(), "self_k": cache[0], "self_v": cache[1],
            "cross_k": cross_k, "cross_v": cross_v, "mask": mask, "image": seen,
            "heads_kept": np.array([4, 4]), "alpha": np.array(1.0, np.float32),
        })  # fmt: skip
        parts.append(logits)
    np.testing.assert_allclose(np.concatenate(parts, 1), expected.numpy(), atol=ATOL)


def test_checkpointed_layers_give_the_same_bits_and_keep_less():
    """Forward and gradients, with dropout, which draws the same again; fewer tensors wait for backward."""
    gradients, kept = [], []
    for checkpointing in (False, True):
        vlm = tiny.models(V, finetune={"dropout": 0.2})[0].train()
        if checkpointing:
            checkpoint_layers(vlm)
        torch.manual_seed(4)
        saved: list[torch.Tensor] = []
        keep = partial(_keep, saved)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = vlm.step(answer(), None, remember(vlm)).logits.square().mean()
        loss.backward()
        kept.append(sum(tensor.numel() for tensor in saved))
        gradients.append({name: p.grad for name, p in vlm.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])
    assert kept[1] < kept[0]


def _keep(saved, tensor):
    saved.append(tensor)
    return tensor


def test_checkpointing_reaches_transformers_of_libraries_and_spares_batch_norms():
    import timm
    from transformers import BertConfig, BertModel

    vit = timm.create_model("test_vit", num_classes=0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    hf, cnn = BertModel(BertConfig(vocab_size=9, **sizes)), timm.create_model("test_resnet", num_classes=0)
    checkpoint_layers(torch.nn.ModuleList([vit, hf, cnn]))
    assert vit.grad_checkpointing and hf.is_activation_checkpointing and not cnn.grad_checkpointing


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 heads do not divide into groups over 3 key-value heads"):
        build({"key_value_heads": 3})
