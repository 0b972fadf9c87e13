"""A map over shards gives the same results, in order, from one process, a pool and a Ray cluster, also where
workers are killed."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sightline.core import shard_map
from sightline.core.shard_map import map_shards

FEW, MANY = 3, 40


def noise(shard):
    """Bytes that are a pure function of the shard; the first shards take longest."""
    time.sleep(0.05 / (1 + shard))
    return np.random.default_rng(shard).bytes(8) + os.getcwd().encode()


def noise_by(folder, shard):
    """As `noise`; leaves the number of its process, and one process is killed half-way, once."""
    (folder / f"pid-{os.getpid()}").touch()
    if shard == MANY // 2:
        try:
            (folder / "killed").touch(exist_ok=False)
        except FileExistsError:
            return noise(shard)
        os.kill(os.getpid(), signal.SIGKILL)
    return noise(shard)


def workers(folder):
    return {int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")}


def deadly(shard):
    if shard == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return shard


class Bound:
    """Counts how often it is sent, and in a worker how often it came."""

    count = 0
    received = 0

    def __reduce__(self):
        self.count += 1
        return arrived, ()


def arrived():
    Bound.received += 1
    return travels


travels = Bound()


def with_bound(bound, shard):
    return shard, bound.received


def thread_of(shard):
    return shard, os.getpid(), threading.get_ident()


class Refused(ValueError):
    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


def refusing(shard):
    if shard == 5:
        raise Refused("broken", f"shard {shard} is damaged")
    return shard


def test_one_process_a_pool_and_a_killed_worker_give_the_same(tmp_path):
    alone = list(map(noise, range(MANY)))
    assert list(map_shards(noise, range(MANY), few=MANY)) == alone
    assert list(map_shards(partial(noise_by, tmp_path), range(MANY))) == alone
    assert (tmp_path / "killed").exists() and os.getpid() not in workers(tmp_path)
    assert len(workers(tmp_path)) > 1


def test_ray_gives_the_same_also_with_a_killed_worker(ray_cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = list(map(noise, range(MANY)))
    assert list(map_shards(partial(noise_by, tmp_path), range(MANY))) == alone
    assert (tmp_path / "killed").exists() and os.getpid() not in workers(tmp_path)
    with pytest.raises(ValueError, match="^shard 5 is damaged$"):
        list(map_shards(refusing, range(MANY)))
    assert len(list(map_shards(np.zeros, [(2, 3)] * MANY))) == MANY


def test_what_the_function_is_bound_to_reaches_a_worker_once():
    travels.count = 0
    found = list(map_shards(partial(with_bound, travels), range(MANY)))
    assert [shard for shard, _ in found] == list(range(MANY))
    assert {received for _, received in found} == {1} and travels.count == shard_map.usable_cores()


def test_ray_brings_what_the_function_is_bound_to_once(ray_cluster, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    travels.count = 0
    found = list(map_shards(partial(with_bound, travels), range(MANY)))
    assert [shard for shard, _ in found] == list(range(MANY))
    assert {received for _, received in found} == {1} and travels.count == 1


def test_what_waits_for_other_processes_is_called_by_threads():
    found = list(map_shards(thread_of, range(MANY), waits=True))
    assert [shard for shard, _, _ in found] == list(range(MANY))
    assert {pid for _, pid, _ in found} == {os.getpid()}
    assert threading.get_ident() not in {thread for _, _, thread in found}
    with pytest.raises(ValueError, match="^shard 5 is damaged$"):
        list(map_shards(refusing, range(MANY), waits=True))


def test_few_shards_stay_in_this_process(tmp_path):
    found = list(map_shards(partial(noise_by, tmp_path), range(FEW)))
    assert found == list(map(noise, range(FEW))) and workers(tmp_path) == {os.getpid()}


def test_no_shards_are_no_results():
    assert list(map_shards(noise, [])) == list(map_shards(noise, [], few=0)) == []


def test_shards_are_taken_as_they_are_needed():
    taken = []
    shards = (taken.append(number) or number for number in range(1000))
    results = map_shards(refusing, shards)
    assert next(results) == 0 and next(results) == 1
    assert len(taken) < 100
    results.close()


def test_what_the_function_raises_comes_out():
    with pytest.raises(ValueError, match="^shard 5 is damaged$"):
        list(map_shards(refusing, range(MANY)))


def test_a_shard_that_kills_every_worker_ends_the_map():
    results = map_shards(deadly, range(MANY))
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="a process ended 3 times while it computed the same part"):
        next(results)


def test_ray_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    token = shard_map.ENGINE.set("ray")
    try:
        with pytest.raises(ValueError, match="pip install -r requirements-ray.in, or set `engine: local`"):
            list(map_shards(noise, range(MANY)))
    finally:
        shard_map.ENGINE.reset(token)
    assert (Path(__file__).parents[2] / "requirements-ray.in").is_file()
