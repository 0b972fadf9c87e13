"""Low-rank adapters: nothing changes at the start, little trains, and plain weights are left."""

import torch
from torch import nn

from sightline.train import lora


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 5))


def fit(model: nn.Module) -> None:
    x_BI = torch.randn(32, 6, generator=torch.Generator().manual_seed(1))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.05)
    for _ in range(30):
        loss = (model(x_BI) - x_BI[:, :5].sin()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_adapters_start_as_nothing_and_only_they_train():
    model, x_BI = network(), torch.randn(4, 6)
    before, weights = model(x_BI), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lora.adapt(model, 2)
    assert torch.equal(model(x_BI), before)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trainable and all(name.endswith(("up_OR", "down_RI")) for name in trainable)
    fit(model)
    state = model.state_dict()
    assert torch.equal(state["0.parametrizations.weight.original"], weights["0.weight"])
    assert torch.equal(state["3.bias"], weights["3.bias"]) and torch.equal(
        state["1.weight"], weights["1.weight"]
    )


def test_merging_leaves_plain_weights_of_the_rank_asked_for():
    model, plain, x_BI = network(), network(), torch.randn(4, 6)
    lora.adapt(model, 2)
    fit(model)
    adapted = model(x_BI)
    lora.merge(model)
    assert sorted(model.state_dict()) == sorted(plain.state_dict())
    torch.testing.assert_close(model(x_BI), adapted)
    moved_OI = model[0].weight - plain[0].weight
    values_R = torch.linalg.svdvals(moved_OI.detach())
    assert values_R[1] > 1e-3 and values_R[2] < 1e-5 * values_R[0]


def test_the_correction_by_hand():
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
    lora.adapt(layer, 1)
    adapter = layer.parametrizations.weight[0]
    with torch.no_grad():
        adapter.up_OR.copy_(torch.tensor([[1.0], [2.0]]))
        adapter.down_RI.copy_(torch.tensor([[10.0, 0.0]]))
    torch.testing.assert_close(layer.weight, torch.tensor([[21.0, 0.0], [40.0, 1.0]]))
