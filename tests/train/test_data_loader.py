"""Batches read ahead by worker processes: the same training, clear errors, no process left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sightline.core import runtime
from sightline.train import data_loader
from sightline_lab.faults import toy_training


def run(workers: int) -> runtime.Runtime:
    return runtime.Runtime("cpu", 0, 1, 1, workers)


def trained(folder, workers):
    task = toy_training.make(run(workers), 30)
    toy_training.train(run(workers), folder, task)
    return toy_training.files(folder)


def test_a_training_is_the_same_bits_with_workers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = trained(tmp_path / "alone", 0)
    assert "weights.safetensors" in alone and trained(tmp_path / "workers", 2) == alone


def test_an_error_in_a_worker_reads_as_it_was_raised(monkeypatch):
    task = toy_training.make(run(1), 9)

    def damaged(step):
        if step == 2:
            raise ValueError("images-00000.tar: damaged at 512; run `sightline doctor --repair`")
        return {"items": [step]}

    monkeypatch.setattr(task, "load", damaged)
    batches = data_loader.batches(task, 0, 9, run(1))
    assert [next(batches), next(batches)] == [{"items": [0]}, {"items": [1]}]
    with pytest.raises(
        ValueError, match=r"^images-00000\.tar: damaged at 512; run `sightline doctor --repair`$"
    ):
        next(batches)


def test_closing_ends_the_workers():
    before = set(psutil.Process().children(recursive=True))
    batches = data_loader.batches(toy_training.make(run(2), 100), 0, 100, run(2))
    next(batches)
    workers = set(psutil.Process().children(recursive=True)) - before
    assert len(workers) == 2
    batches.close()
    assert psutil.wait_procs(workers, timeout=20)[1] == []


SCRIPT = """
import sys
from pathlib import Path
from sightline.core import runtime
from sightline_lab.faults import toy_training
here = runtime.start(threads=1, seed=3, loader_workers=2)
toy_training.train(here, Path(sys.argv[1]), toy_training.make(here, 10_000, 0.02))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_training(tmp_path, number):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "out")], cwd=tmp_path)
    parent, limit = psutil.Process(process.pid), time.monotonic() + 60
    while len(parent.children()) < 2:
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.1)
    time.sleep(1)
    workers = parent.children()
    os.kill(process.pid, number)
    assert process.wait(30) == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    assert psutil.wait_procs(workers, timeout=30)[1] == []


@pytest.mark.parametrize(("cores", "devices", "workers"), [(16, 1, 8), (8, 1, 7), (64, 8, 7), (2, 4, 1)])
def test_auto_leaves_a_core_to_each_training_process(monkeypatch, cores, devices, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert runtime._spare_cores(devices) == workers


def test_auto_reads_no_batches_ahead_on_the_cpu():
    code = "from sightline.core import runtime; print(runtime.start(1, 3, 'auto').loader_workers)"
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "0\n", done.stderr
