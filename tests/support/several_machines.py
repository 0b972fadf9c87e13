"""Training on several machines without a common disk: each is a process with a working folder of its own.

The processes are forks of this one, so that torch is imported once. The toy task has dropout, two phases and
evaluations; SAVE_EVERY_S is 0, so every step is saved.
"""

import json
import multiprocessing
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import dvclive  # noqa: F401  (this and torch._dynamo are imported here once, not by every fork)
import numpy as np
import pytest
import torch._dynamo  # noqa: F401

from sightline.core import runtime, source_digest
from sightline.core.runtime import Runtime
from sightline.train import checkpoint, distributed
from sightline.train.checkpoint import State, Store
from sightline_lab.faults import toy_training

STEPS = 40
ALONE = Runtime("cpu", 0, 1, 1)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(source_digest, "digest", lambda *starts: "")
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


def rank(folder, environment, body):
    os.chdir(folder)
    os.environ.update(environment)
    run = runtime.start(threads=1, seed=3)
    body(run)
    runtime.finish(run)


def start(folders, body, per_machine=1):
    """Processes that run `body`, one for each folder; `per_machine` of them think that they share a
    machine."""
    common = {
        "WORLD_SIZE": str(len(folders)),
        "LOCAL_WORLD_SIZE": str(per_machine),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    processes = []
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True, exist_ok=True)
        own = {"RANK": str(number), "LOCAL_RANK": str(number % per_machine)}
        context = multiprocessing.get_context("fork")
        processes.append(context.Process(target=rank, args=(folder, common | own, body)))
        processes[-1].start()
    return processes


def codes(processes):
    for process in processes:
        process.join(240)
    return [process.exitcode for process in processes]


def train(run, slow_s=0.0):
    """Train and say which samples were seen."""
    task = toy_training.make(run, STEPS, slow_s)
    toy_training.train(run, Path("out"), task)
    Path("seen.json").write_text(json.dumps(task.seen))


def slowly(run):
    train(run, 0.02)


def saved_step(folder):
    states = list(folder.glob(".resume/toy/*/state.json"))
    return json.loads(states[0].read_text())["state"]["step"] if states else 0


def reach(processes, folder, step):
    """Wait until a state of the step is in the folder."""
    while saved_step(folder) < step:
        assert all(process.is_alive() for process in processes)
        time.sleep(0.01)


def kill_one(folders, killed):
    """Start a training and end one machine by SIGKILL in its midst; the others end by themselves."""
    processes = start(folders, slowly)
    reach(processes, folders[killed], 15)
    os.kill(processes[killed].pid, signal.SIGKILL)
    ends = codes(processes)
    assert ends[killed] == -signal.SIGKILL and all(ends)
    assert all(15 <= saved_step(folder) < STEPS for folder in folders)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What two undisturbed processes write that share a disk."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_digest, "digest", lambda *starts: "")
        assert codes(start([folder, folder], train, per_machine=2)) == [0, 0]
    return toy_training.files(folder / "out")


def test_machines_without_a_common_disk_end_with_the_same_files(whole, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    assert codes(start(folders, train)) == [0, 0]
    assert toy_training.files(folders[0] / "out") == toy_training.files(folders[1] / "out") == whole
    assert not list(tmp_path.glob("*/.resume/toy/*/*")) and not list(tmp_path.glob("*/.resume/disk-*"))


@pytest.mark.parametrize("killed", [0, 1])
@pytest.mark.parametrize("loses", ["nothing", "its disk"])
def test_a_machine_that_is_killed_and_restarted_changes_no_bit(whole, tmp_path, killed, loses):
    """Also where another machine takes its place, which has no state: it comes from the one that is left."""
    folders = [tmp_path / "a", tmp_path / "b"]
    kill_one(folders, killed)
    if loses == "its disk":
        shutil.rmtree(folders[killed])
    assert codes(start(folders, train)) == [0, 0]
    assert toy_training.files(folders[0] / "out") == toy_training.files(folders[1] / "out") == whole
    seen = [json.loads((folder / "seen.json").read_text()) for folder in folders]
    assert len(seen[0]) == len(seen[1]) <= STEPS - 15


def test_an_older_state_gives_way_to_the_newest(whole, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    kill_one(folders, 1)
    kept = next(folders[0].glob(".resume/toy/*/state.json")).parent
    older = tmp_path / "older"
    shutil.copytree(kept, older)
    processes = start(folders, slowly)
    for folder in folders:  # each writes a state of its own, and the second's is the one that is left
        reach(processes, folder, 30)
    for process in processes:
        process.kill()
    codes(processes)
    shutil.rmtree(kept)
    older.rename(kept)
    assert codes(start(folders, train)) == [0, 0]
    assert len(json.loads((folders[0] / "seen.json").read_text())) <= STEPS - 30
    assert toy_training.files(folders[0] / "out") == toy_training.files(folders[1] / "out") == whole


def test_another_number_of_processes_continues_with_the_same_samples(tmp_path, monkeypatch, capfd):
    folders = [tmp_path / "a", tmp_path / "b"]
    kill_one(folders, 1)
    step = saved_step(folders[0])
    monkeypatch.chdir(folders[0])
    train(ALONE)
    expected = toy_training.make(ALONE, STEPS)
    for later in range(step, STEPS):
        expected.load(later)
    assert json.loads(Path("seen.json").read_text()) == expected.seen
    assert "2 processes saved the state and 1 continue it" in capfd.readouterr().err


def of_other_data(run):
    task = toy_training.make(run, STEPS, dropout=0.1 * (1 + run.rank))
    toy_training.train(run, Path("out"), task)


def test_machines_with_other_data_do_not_train_together(tmp_path, capfd):
    folders = [tmp_path / "a", tmp_path / "b"]
    assert codes(start(folders, of_other_data)) == [1, 1]
    shown = capfd.readouterr().err
    assert shown.count("process 1 does not train the same thing as process 0") == 2
    assert not list(tmp_path.glob("*/out"))


def write_who_writes(run):
    Path(f"rank-{run.rank}").write_text(f"{run.disks} {run.writes}")


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["a", "b", "b"], ["2 True", "2 True", "2 False"]),  # two machines share the second disk, or
        (["a", "a", "a"], ["1 True", "1 False", "1 False"]),  # all one
        (["a", "b", "c"], ["3 True"] * 3),
    ],
)
def test_one_process_writes_on_each_disk(tmp_path, folders, expected):
    places = [tmp_path / name for name in folders]
    assert codes(start(places, write_who_writes)) == [0, 0, 0]
    found = [place / f"rank-{number}" for number, place in enumerate(places)]
    by_place = sorted(path.read_text() for path in found)
    assert by_place == sorted(expected) and found[0].read_text() == expected[0]


def broadcast(run):
    arrays = {
        "scalar": np.float64(1.5) * np.ones(()),
        "table": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.int64),
    }
    found = distributed.broadcast_arrays(arrays if run.rank == 1 else {}, 1, run)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
    document = {"a": [1, None, "ä"]}
    assert distributed.broadcast_json(document if run.rank == 1 else None, 1, run) == document
    assert distributed.of_main(run.rank == 0, run) and not distributed.of_main(run.rank == 1, run)


def test_arrays_arrive_as_they_were(tmp_path):
    assert codes(start([tmp_path, tmp_path], broadcast, per_machine=2)) == [0, 0]


def test_the_record_of_a_state_holds_the_number_of_processes(tmp_path):
    store = Store(tmp_path / "resume", ALONE)
    store.save(State(step=3), {"model/x": np.ones(2, np.float32)})
    state, tensors = Store(tmp_path / "resume", ALONE).load()
    assert state == State(step=3) and tensors["model/x"].tolist() == [1.0, 1.0]
    assert json.loads((tmp_path / "resume" / "state.json").read_text())["world"] == 1
