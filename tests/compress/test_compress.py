"""Structured pruning on tiny random models: what goes, what stays, and what it costs."""

import pytest
import torch

from sightline.compress import model_cost, structured_pruning
from sightline.models.decoder.cross_attention import CrossAttentionVLM
from tests.support import tiny


@pytest.fixture(scope="module")
def vlm():
    return tiny.models(100)[0]


def inputs(vlm, seed=0):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 100, (3, 9), generator=draw)
    mask = torch.arange(9) < torch.tensor([[9], [5], [7]])
    return torch.rand(3, 3, 32, 32, generator=draw), ids, mask


def logits(vlm, seed=0):
    pixels, ids, mask = inputs(vlm, seed)
    memory = vlm.memory(vlm.image_tokens(pixels), vlm.text_states(ids, mask), ids, mask)
    return vlm.step(ids[:, :5], None, memory).logits


def loss(vlm, seed):
    return torch.nn.functional.cross_entropy(logits(vlm, seed).flatten(0, 1), torch.arange(15))


def copy(vlm):
    twin = CrossAttentionVLM(vlm.config)
    twin.load_state_dict(vlm.state_dict())
    return twin.eval()


@torch.no_grad()
def silence(vlm, count):
    """Zero the output columns of `count` units per module, different ones in each; returns which."""
    silent = {}
    for number, (name, module) in enumerate(structured_pruning.prunable(vlm).items()):
        columns = structured_pruning._columns(module)
        units = [(number + 2 * i) % columns.shape[1] for i in range(count)]
        for unit in units:
            columns[:, unit] = 0.0
        silent[name] = set(units)
    return silent


@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
def test_units_that_say_nothing_go_first_and_nobody_misses_them(vlm, criterion):
    model = copy(vlm)
    silent = silence(model, 2)
    scores = (
        structured_pruning.magnitude(model)
        if criterion == "magnitude"
        else structured_pruning.taylor(model, [lambda: loss(model, 1), lambda: loss(model, 2)])
    )
    for name, units in silent.items():
        assert {unit for unit, score in enumerate(scores[name].tolist()) if score == 0.0} == units
    smaller = structured_pruning.prune(model, scores, head_ratio=0.5, neuron_ratio=2 / 128).eval()
    assert smaller.config["decoder_heads"] == smaller.config["joint_heads"] == 2
    assert smaller.config["decoder_hidden"] == smaller.config["joint_hidden"] == 126
    # Only additions of zero are left out: the rest may be added in another order, 1e-5 on logits of order 10.
    torch.testing.assert_close(logits(smaller), logits(model), atol=1e-5, rtol=0)


def test_taylor_importance_is_the_derivative_of_a_factor_on_the_output(vlm):
    model = copy(vlm)
    scores = structured_pruning.taylor(model, [lambda: loss(model, 1)])
    name, module = next(iter(structured_pruning.prunable(model).items()))
    columns, step = structured_pruning._columns(module), 1e-2
    with torch.no_grad():
        for unit in range(2):
            original = columns[:, unit].clone()
            values = []
            for factor in (1 + step, 1 - step):
                columns[:, unit] = original * factor
                values.append(float(loss(model, 1)))
            columns[:, unit] = original
            slope = abs(values[0] - values[1]) / (2 * step)
            # Central difference in float32: rounding 1e-7 / 1e-2 and a third-derivative term of step squared.
            assert float(scores[name][unit]) == pytest.approx(slope, abs=2e-3, rel=0.05)


def test_the_config_rebuilds_the_pruned_model(vlm):
    smaller = structured_pruning.prune(vlm, structured_pruning.magnitude(vlm), 0.25, 0.5).eval()
    torch.testing.assert_close(logits(copy(smaller)), logits(smaller), atol=0, rtol=0)
    assert smaller.config["decoder_heads"] == 3 and smaller.config["decoder_hidden"] == 64


def test_kept_units_keep_their_weights_and_order(vlm):
    scores = {
        name: torch.zeros(structured_pruning._columns(m).shape[1])
        for name, m in structured_pruning.prunable(vlm).items()
    }
    name = "decoder.layers.0.cross_attention"
    scores[name] = torch.tensor([0.1, 3.0, 0.2, 2.0])
    smaller = structured_pruning.prune(vlm, scores, 0.5, 0.0)
    old, new = (
        structured_pruning._columns(vlm.get_submodule(name)),
        structured_pruning._columns(smaller.get_submodule(name)),
    )
    torch.testing.assert_close(new, old[:, [1, 3]], atol=0, rtol=0)


def test_nothing_asked_nothing_removed(vlm):
    same = structured_pruning.prune(vlm, structured_pruning.magnitude(vlm), 0.0, 0.0).eval()
    torch.testing.assert_close(logits(same), logits(vlm), atol=0, rtol=0)


def test_at_least_one_head_and_neuron_stay(vlm):
    smaller = structured_pruning.prune(vlm, structured_pruning.magnitude(vlm), 1.0, 1.0)
    assert smaller.config["decoder_heads"] == smaller.config["decoder_hidden"] == 1
    assert logits(smaller.eval()).isfinite().all()


def test_pruning_costs_less_and_leaves_the_original_alone(vlm):
    before = {name: tensor.clone() for name, tensor in vlm.state_dict().items()}
    smaller = structured_pruning.prune(vlm, structured_pruning.magnitude(vlm), 0.5, 0.5)
    models, right = {"fp32": vlm, "pruned": smaller}, {"accuracy": 50.0}
    rows = [model_cost.row(name, model, right) for name, model in models.items()]
    for key in ("parameters", "bytes", "macs", "decoder_heads", "decoder_hidden"):
        assert rows[1][key] < rows[0][key]
    assert rows[0]["bytes"] == sum(4 * p.numel() for p in vlm.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in vlm.state_dict().items())


def test_macs_of_a_linear_part_are_the_product_of_its_sides(vlm):
    """Two more feed-forward neurons in each of two layers and one token cost 2 * 2 * (in + out) products."""
    joint = vlm.config["joint_hidden"]
    wider = CrossAttentionVLM({**vlm.config, "decoder_hidden": vlm.config["decoder_hidden"] + 2})
    assert model_cost.macs(wider) - model_cost.macs(vlm) == 2 * 2 * (32 + 32)
    deeper = CrossAttentionVLM({**vlm.config, "joint_hidden": joint + 1})
    assert model_cost.macs(deeper) - model_cost.macs(vlm) == tiny.MAX_QUESTION * (32 + 32)


def test_an_embedding_costs_its_tower_and_its_projection():
    _, clip = tiny.models(40)
    found, projection = model_cost.macs_of_embeddings(clip), clip.image_projection
    assert isinstance(projection, torch.nn.Linear)
    clip.image_projection = torch.nn.Linear(projection.in_features, 2 * projection.out_features)
    wider = model_cost.macs_of_embeddings(clip.train())
    assert wider["embed_image"] - found["embed_image"] == projection.in_features * projection.out_features
    assert wider["embed_text"] == found["embed_text"] > 0 and clip.training  # as it was
