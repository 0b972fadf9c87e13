"""Layers divided among two processes train as whole ones do; a killed run ends with the same bits."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from sightline.core import artifacts, runtime
from sightline.core.params.checks import ParamsError
from sightline.core.params.loader import load_params
from sightline.train.loop import Recipe
from sightline.train.mean_weights import MeanWeights
from sightline.train.optimizer import adamw
from sightline.train.sharding import Sharding
from sightline_lab.faults import toy_training
from tests.support.command_line import ROOT
from tests.support.sharded_training import StackTask

STEPS = 24
LAYER = 6 * 6 + 6 + 2 * 6  # parameters of a layer of the stack
REST = 6 * 6 + 6 + 6 + 1 + 1
# Sums of two processes in another order: of float32 an error of 1e-7 a step, which AdamW enlarges where a
# gradient is near 0, as its steps have the size of the rate there. Measured over these steps: 5e-7 of the
# loss and 2e-6 of a weight at most; a gradient that is not averaged changes the third digit.
LOSS, WEIGHT = 1e-5, 1e-4


def start(folder, above, slow_s=0.0):
    """Two processes."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = str(listening.getsockname()[1])
    env = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), "GLOO_SOCKET_IFNAME": "lo"}
    env |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    script = [ROOT / "tests/support/sharded_training.py", folder / "out", STEPS, above, slow_s]
    with open(folder / "said.txt", "w", encoding="utf-8") as said:
        return [
            subprocess.Popen(
                [sys.executable, *map(str, script)],
                cwd=folder, env=env | {"RANK": rank, "LOCAL_RANK": rank}, stdout=said, stderr=said,
            )
            for rank in ("0", "1")
        ]  # fmt: skip


def trained(folder, above):
    codes = [process.wait(1200) for process in start(folder, above)]
    said = (folder / "said.txt").read_text(encoding="utf-8")
    assert codes == [0, 0], said[-4000:]
    return folder / "out", said


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What whole layers and what divided ones give."""
    base = tmp_path_factory.mktemp("both")
    whole, _ = trained(base / "whole", 0)
    divided, said = trained(base / "divided", LAYER)
    return whole, divided, said


def test_divided_layers_train_as_whole_ones(both):
    whole, divided, said = both
    histories = [artifacts.read_json(out / "history.json")["history"] for out in (whole, divided)]
    assert len(histories[0]) == len(histories[1]) > 4
    for one, other in zip(*histories, strict=True):
        assert one.keys() == other.keys()
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=LOSS)
    weights = [artifacts.load_weights(out / "weights.safetensors") for out in (whole, divided)]
    assert weights[0].keys() == weights[1].keys()
    for name, expected in weights[0].items():
        np.testing.assert_allclose(weights[1][name], expected, atol=WEIGHT, err_msg=name)
    assert said.count("2 layers are divided among 2 processes") == 1
    assert said.count("1 layers are divided among 2 processes") == 1  # the third, when it thaws


def test_each_process_holds_a_part(both):
    whole, divided, _ = both
    held = [
        [json.loads((out / f"held-{rank}.json").read_text()) for rank in (0, 1)] for out in (whole, divided)
    ]
    everything = REST + 3 * LAYER
    assert {*held[0][0], *held[0][1]} == {everything}
    early, late = zip(held[1][0], held[1][1], strict=True), held[1]
    assert next(early) == (REST + LAYER + LAYER, REST + LAYER + LAYER)  # halves of two layers, one whole
    assert [each[-1] for each in late] == [REST + 3 * LAYER // 2] * 2


@pytest.mark.full
def test_a_killed_run_ends_with_the_same_bits(both, tmp_path):
    _, divided, _ = both
    for step in (3, 8, 14):  # before and after the first layer thaws
        processes = start(tmp_path, LAYER, slow_s=0.3)
        end = time.monotonic() + 600
        while saved_step(tmp_path) < step:
            assert all(process.poll() is None for process in processes) and time.monotonic() < end
            time.sleep(0.02)
        processes[step % 2].kill()
        for process in processes:
            process.wait(600)
    out, said = trained(tmp_path, LAYER)
    assert "continuing stack after step" in said
    names = ("weights.safetensors", "history.json")
    assert [(out / name).read_bytes() for name in names] == [(divided / name).read_bytes() for name in names]


def saved_step(folder):
    states = list(folder.glob(".resume/stack/*/state.json"))
    return json.loads(states[0].read_text())["state"]["step"] if states else 0


def test_one_process_divides_nothing():
    alone = runtime.Runtime("cpu", 0, 1, 1)
    task = StackTask(alone, STEPS)
    optimizer, mean = adamw(task, 0.1), MeanWeights(task.model, 0.0)
    sharding = Sharding(task, 1, alone)
    assert sharding.divide(optimizer, mean, 0.1) == (optimizer, mean) and not sharding.active
    task(task.batch(0))[0].backward()
    gradients = [parameter.grad.clone() for parameter in task.model.parameters()]
    norm = sharding.clip(1e-3)
    assert norm == pytest.approx(torch.nn.utils.get_total_norm(gradients).item())
    clipped = torch.nn.utils.get_total_norm([parameter.grad for parameter in task.model.parameters()])
    assert clipped.item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("other", [{"training.micro_batch": 4}, {"training.compile": True}])
def test_what_cannot_be_together_is_refused(other):
    with pytest.raises(ParamsError, match="fsdp"):
        load_params(ROOT / "params.yaml", {"training.fsdp": 1} | other)


def test_scaled_gradients_are_refused():
    params = load_params(ROOT / "params.yaml", {"training.fsdp": 1})
    section = params.align.replaced(precision="fp16")
    with pytest.raises(ValueError, match="^align.precision: got fp16, expected bf16 or fp32"):
        Recipe.of("align", section, params, STEPS, runtime.Runtime("cuda:0", 0, 2, 1))
    assert toy_training.recipe(STEPS).shard_above == 0
