"""A run that was killed ends with the same bits as one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sightline.core import runtime, source_digest
from sightline.train import checkpoint
from sightline.train.checkpoint import State, Store
from sightline_lab.faults import toy_training

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
STEPS = 40
ALONE = runtime.Runtime("cpu", 0, 1, 1)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    # Somebody may be editing the package while its tests run; the sources have a test of their own.
    monkeypatch.setattr(source_digest, "digest", lambda *starts: "")
    monkeypatch.setenv("PYTHONPATH", f"{SRC}{os.pathsep}{ROOT}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted run writes."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        toy_training.train(ALONE, folder / "out", toy_training.make(ALONE, STEPS))
    return toy_training.files(folder / "out")


class Killed(Exception):
    pass


@pytest.mark.parametrize("death", [1, 9, 13, 39])
def test_death_at_a_step_changes_no_bit(whole, tmp_path, monkeypatch, death):
    """Saved after every step, dead at one of them (evaluations fall on 10, 20, 30, 40; the phase turns at
    13)."""
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    dying = toy_training.make(ALONE, STEPS)
    batch = dying.load

    def fatal(step):
        if step == death:
            raise Killed
        return batch(step)

    dying.load = fatal
    with pytest.raises(Killed):
        toy_training.train(ALONE, tmp_path / "out", dying)
    continued = toy_training.make(ALONE, STEPS)
    toy_training.train(ALONE, tmp_path / "out", continued)
    assert len(continued.seen) == STEPS - death
    assert toy_training.files(tmp_path / "out") == whole
    assert not list(Path(".resume/toy").glob("*/*"))


def test_death_in_the_middle_of_a_save_leaves_the_previous_state(whole, tmp_path, monkeypatch):
    """After the tensors of a save are in place but not yet the file that names them."""
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    write, saves = checkpoint.artifacts.write_json, []

    def fatal(path, record):
        if path.name == "state.json":
            saves.append(record["state"]["step"])
            if len(saves) == 7:
                raise Killed
        write(path, record)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.artifacts, "write_json", fatal)
        with pytest.raises(Killed):
            toy_training.train(ALONE, tmp_path / "out", toy_training.make(ALONE, STEPS))
    continued = toy_training.make(ALONE, STEPS)
    toy_training.train(ALONE, tmp_path / "out", continued)
    assert len(continued.seen) == STEPS - 6
    assert toy_training.files(tmp_path / "out") == whole


def killer(out, kills, number, seed):
    command = [sys.executable, "-m", "sightline_lab.faults.killer", out, str(kills), str(number), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_sigkill_at_random_moments(whole, tmp_path):
    ends = killer(tmp_path / "out", 8, signal.SIGKILL, seed=5)
    assert [end["code"] for end in ends] == [-9] * 8 + [0]
    assert toy_training.files(tmp_path / "out") == whole


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_signal_saves_the_current_step(whole, tmp_path, number, code):
    """No step is lost: the one that was running when the signal came is finished and saved."""
    ends = killer(tmp_path / "out", 3, number, seed=8)
    assert [end["code"] for end in ends] == [code] * 3 + [0]
    assert all(end["saved"] > end["step"] for end in ends[:-1])
    assert toy_training.files(tmp_path / "out") == whole


def test_a_damaged_state_is_said_and_not_used(whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    dying = toy_training.make(ALONE, STEPS)
    dying.evaluate = lambda: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        toy_training.train(ALONE, tmp_path / "out", dying)
    (path,) = Path(".resume/toy").glob("*/state-9.safetensors")
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    toy_training.train(ALONE, tmp_path / "out", toy_training.make(ALONE, STEPS))
    assert "is damaged" in capsys.readouterr().err
    assert toy_training.files(tmp_path / "out") == whole


def test_a_run_with_other_facts_starts_afresh(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    dying = toy_training.make(ALONE, STEPS)
    dying.evaluate = lambda: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        toy_training.train(ALONE, tmp_path / "out", dying)
    other = toy_training.make(ALONE, STEPS)
    toy_training.train(ALONE, tmp_path / "out", other, lr=0.02)
    assert len(other.seen) == STEPS


def test_the_fingerprint_knows_facts_weights_and_threads():
    weights = {"x": np.zeros(2, np.float32)}
    same = checkpoint.fingerprint({"lr": 0.1}, weights, ALONE)
    assert same == checkpoint.fingerprint({"lr": 0.1}, {"x": np.zeros(2, np.float32)}, ALONE)
    others = [
        checkpoint.fingerprint({"lr": 0.2}, weights, ALONE),
        checkpoint.fingerprint({"lr": 0.1}, {"x": np.ones(2, np.float32)}, ALONE),
        checkpoint.fingerprint({"lr": 0.1}, weights, runtime.Runtime("cpu", 0, 1, 2)),
    ]
    assert len({same, *others}) == 4
    # Another number of processes takes the same samples in each step, so it may continue.
    assert same == checkpoint.fingerprint({"lr": 0.1}, weights, runtime.Runtime("cpu", 0, 2, 1))


def test_other_code_starts_over(tmp_path, monkeypatch):
    """The digest is of the code of training and of the task."""
    asked = []
    monkeypatch.setattr(source_digest, "digest", lambda *starts: asked.append(starts) or "one")
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    dying = toy_training.make(ALONE, STEPS)
    dying.evaluate = lambda: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        toy_training.train(ALONE, tmp_path / "out", dying)
    resumed = toy_training.make(ALONE, STEPS)
    monkeypatch.setattr(source_digest, "digest", lambda *starts: "two")
    toy_training.train(ALONE, tmp_path / "out", resumed)
    assert len(resumed.seen) == STEPS
    assert asked == [(SRC / "sightline" / "train", Path(toy_training.__file__))]


def test_two_runs_of_one_fingerprint_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LOCK_WAIT_S", 0.0)
    first, second = Store(tmp_path / "resume", ALONE), Store(tmp_path / "resume", ALONE)
    with first.lock(), pytest.raises(ValueError, match="has been training the same thing"), second.lock():
        pass
    with second.lock():
        pass


def test_only_named_files_stay(tmp_path):
    store, tensors = Store(tmp_path / "resume", ALONE), {"model/x": np.ones(2, np.float32)}
    store.save(State(step=1), tensors)
    store.save_best(2, tensors)
    store.save(State(step=2, best_step=2, best_metric=0.5), tensors)
    names = sorted(path.name for path in (tmp_path / "resume").iterdir())
    assert names == ["best-2.safetensors", "state-2.safetensors", "state.json"]
