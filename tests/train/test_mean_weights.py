"""The mean of the weights: its values, that it is what is measured and kept, and that it resumes."""

from pathlib import Path

import pytest
import torch

from sightline.core import artifacts, runtime, source_digest
from sightline.train import checkpoint
from sightline.train.mean_weights import MeanWeights
from sightline_lab.faults import toy_training

ALONE = runtime.Runtime("cpu", 0, 1, 1)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    # Somebody may be editing the package while its tests run; the sources have a test of their own.
    monkeypatch.setattr(source_digest, "digest", lambda *starts: "")


def test_values_by_hand():
    """Decays 2/11, 3/12 and then 0.28, from a start at 4."""
    model = torch.nn.BatchNorm1d(1)  # weights, statistics, and a whole number
    weight = model.get_parameter("weight")
    with torch.no_grad():
        weight.fill_(4.0)
    mean, expected = MeanWeights(model, 0.28), 4.0
    for step, (value, decay) in enumerate([(1.0, 2 / 11), (2.0, 3 / 12), (8.0, 0.28)], 1):
        with torch.no_grad():
            weight.fill_(value)
            model.get_buffer("num_batches_tracked").fill_(step)
        mean.update(step)
        expected = decay * expected + (1 - decay) * value
        with mean.in_place():
            assert weight.item() == pytest.approx(expected, rel=1e-6)
            assert model.get_buffer("num_batches_tracked") == step
        assert weight.item() == value
    assert mean.pack() != {}


def test_no_decay_keeps_nothing():
    model = torch.nn.Linear(2, 2)
    before = model.weight.clone()
    mean = MeanWeights(model, 0.0)
    mean.update(1)
    with mean.in_place():
        assert torch.equal(model.weight, before)
    assert mean.pack() == {}


def test_the_mean_is_what_is_measured_and_kept(tmp_path):
    task = toy_training.make(ALONE, 40)
    measured, trained, forward = [], [], task.forward

    def watched(batch):
        if torch.is_grad_enabled():
            trained.append(task.model.head.weight.clone())
        return forward(batch)

    def evaluate():
        measured.append({name: tensor.clone() for name, tensor in task.model.state_dict().items()})
        return float(len(measured)), {}  # the last is the best

    task.forward, task.evaluate = watched, evaluate
    toy_training.train(ALONE, tmp_path / "out", task, ema=0.9)
    kept = artifacts.load_weights(tmp_path / "out" / "weights.safetensors")
    assert all(torch.equal(torch.from_numpy(kept[name]), tensor) for name, tensor in measured[-1].items())
    expected = trained[0]
    for step, weight in enumerate(
        trained[1:30], 1
    ):  # the weights after each step, up to the third evaluation
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    last = min(0.9, 31 / 40)
    after_30 = (measured[2]["head.weight"] - last * expected) / (1 - last)
    torch.testing.assert_close(after_30, trained[30], atol=1e-4, rtol=1e-3)


class Killed(Exception):
    pass


@pytest.mark.parametrize("death", [9, 21])
def test_death_at_a_step_changes_no_bit(tmp_path, monkeypatch, death):
    toy_training.train(ALONE, tmp_path / "whole", toy_training.make(ALONE, 40), ema=0.9)
    toy_training.train(ALONE, tmp_path / "plain", toy_training.make(ALONE, 40))
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    dying = toy_training.make(ALONE, 40)
    batch = dying.load

    def fatal(step):
        if step == death:
            raise Killed
        return batch(step)

    dying.load = fatal
    with pytest.raises(Killed):
        toy_training.train(ALONE, tmp_path / "out", dying, ema=0.9)
    assert list(Path(".resume/toy").glob("*/state.json"))
    continued = toy_training.make(ALONE, 40)
    toy_training.train(ALONE, tmp_path / "out", continued, ema=0.9)
    assert len(continued.seen) == 40 - death
    assert toy_training.files(tmp_path / "out") == toy_training.files(tmp_path / "whole")
    weights = "weights.safetensors"
    assert toy_training.files(tmp_path / "plain")[weights] != toy_training.files(tmp_path / "whole")[weights]
