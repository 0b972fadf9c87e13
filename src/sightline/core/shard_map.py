"""A function mapped over shards, in order: in this process, in a pool of processes, or on a Ray cluster
(https://arxiv.org/abs/1712.05889), as the parameter `engine` says.

Results come in the order of the shards, whoever computed them and whenever, so what is made of them is the
same bytes everywhere; a shard whose worker died is computed again. Workers import the module of `function`;
each gets it once, with what it is bound to, and then the shards, by the serialisation of the pool or of Ray,
which is between own processes.
"""

import copy
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Literal, TypeVar

Engine = Literal["local", "ray"]
ENGINE: ContextVar[Engine] = ContextVar("engine", default="local")  # of the stage that runs
Shard = TypeVar("Shard")
Result = TypeVar("Result")
_function: Callable[[Any], Any]  # that a worker of the pool maps

FEW = 8  # shards that one process computes sooner than others start
AHEAD = 2  # shards of each worker that are computed or wait to be read: what bounds memory
TRIES = 3  # of a shard, where its worker dies
NO_RAY = "engine: ray needs Ray: pip install -r requirements-ray.in, or set `engine: local`"
KILLED = (
    f"a process ended {TRIES} times while it computed the same part of the data; where it was killed for its "
    "memory, the kernel's log says so: free some, and start again"
)


def map_shards(
    function: Callable[[Shard], Result], shards: Iterable[Shard], few: int = FEW, waits: bool = False
) -> Generator[Result, None, None]:
    """`function` of each shard, in their order. Shards are taken as they are needed, some ahead of what is
    read. Up to `few` of them are computed in this process, whatever the engine. waits: `function` leaves the
    work to processes of its own, so on this machine threads call it.

    Raises what `function` raises (a worker's ValueError or OSError as a ValueError with its message), and
    ValueError for a shard whose worker died TRIES times.
    """
    waiting, ray = iter(shards), ENGINE.get() == "ray"
    first = list(islice(waiting, few + 1))
    if len(first) <= few and (ray or not waits):
        yield from map(function, first)
        return
    workers: _Ray | _Pool = _Ray(function) if ray else _Threads(function) if waits else _Pool(function)
    try:
        yield from workers.map(chain(first, waiting))
    finally:
        workers.close()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Pool:
    """Processes of this machine: new interpreters, one a core."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function, self._count = function, usable_cores()
        self._pool = self._started()

    def _started(self) -> Executor:
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, spawn, _begin, (self._function,))

    def _call(self, shard: Any) -> Future[Any]:
        return self._pool.submit(_called_here, shard)

    def map(self, shards: Iterator[Any]) -> Iterator[Any]:
        ahead: deque[Any] = deque()
        running: deque[Future[Any]] = deque()  # of the first ones of `ahead`
        deaths = 0  # since the last result
        while True:
            try:
                ahead.extend(islice(shards, AHEAD * self._count - len(ahead)))
                while len(running) < len(ahead):
                    running.append(self._call(ahead[len(running)]))
                if not ahead:
                    return
                result = running[0].result()
            except BrokenProcessPool:
                # The death of one process ends the pool, and all that was under way is computed again.
                deaths += 1
                if deaths == TRIES:
                    raise ValueError(KILLED) from None
                self._pool.shutdown()
                self._pool = self._started()
                running.clear()
                continue
            ahead.popleft()
            running.popleft()
            deaths = 0
            yield result

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class _Threads(_Pool):
    """Threads of this process, one a core."""

    def _started(self) -> Executor:
        return ThreadPoolExecutor(self._count)

    def _call(self, shard: Any) -> Future[Any]:
        return self._pool.submit(_called, self._function, shard)


class _Ray:
    """The cluster that runs, by RAY_ADDRESS or on this machine; else one is started, on loopback. Ray itself
    replaces its workers and computes again what they had."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # Otherwise Ray takes the address that others reach this machine by for 127.0.0.1, wherever that is
        # given, and listens there. Another address in RAY_ADDRESS is taken as it is.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            import ray
        except ImportError:
            raise ValueError(NO_RAY) from None
        self._ray = ray
        on_sigterm = signal.getsignal(signal.SIGTERM)  # Ray puts its own in its place
        # Workers import what this process does, not another version that their machine may have.
        paths = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
        settings = {"logging_level": "error", "log_to_driver": False, "runtime_env": paths}
        try:
            ray.init("auto", **settings)
        except ConnectionError:
            ray.init("local", include_dashboard=False, **settings)
        signal.signal(signal.SIGTERM, on_sigterm)
        self._count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._function = ray.put(function)

    def map(self, shards: Iterator[Any]) -> Iterator[Any]:
        task = self._ray.remote(max_retries=TRIES - 1)(_in_folder)
        ahead: deque[Any] = deque()
        while True:
            for shard in islice(shards, AHEAD * self._count - len(ahead)):
                # A reference in a list stays one: the worker gets what it refers to once.
                ahead.append(task.remote(os.getcwd(), [self._function], shard))
            if not ahead:
                return
            try:
                # Ray's arrays are read-only views of its memory, which ends with `close`.
                yield copy.deepcopy(self._ray.get(ahead.popleft()))
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.WorkerCrashedError:
                raise ValueError(KILLED) from None

    def close(self) -> None:
        self._ray.shutdown()


def _in_folder(folder: str, function: list[Any], shard: Any) -> Any:
    """In a worker of Ray, which starts in a folder of Ray's. function: a reference to it."""
    try:
        os.chdir(folder)
    except OSError:
        raise ValueError(
            f"{os.uname().nodename} has no folder {folder}: every machine of the Ray cluster needs the "
            "checkout, its data and its packages at the same path"
        ) from None
    return _called(_fetched(function[0]), shard)


@lru_cache(maxsize=1)
def _fetched(reference: Any) -> Callable[[Any], Any]:
    import ray

    function: Callable[[Any], Any] = ray.get(reference)
    return function


def _begin(function: Callable[[Any], Any]) -> None:
    """In a worker of the pool, before its first shard."""
    global _function
    _function = function
    end_with_parent()


def _called_here(shard: Any) -> Any:
    return _called(_function, shard)


def _called(function: Callable[[Shard], Result], shard: Shard) -> Result:
    """In a worker. What a user can mend comes back as its message: an exception whose class takes other
    arguments than that cannot be built again from what travels, and would break the pool."""
    try:
        return function(shard)
    except (ValueError, OSError) as error:
        raise ValueError(str(error)) from None


def end_with_parent() -> None:
    """For a worker: end when the process that started it dies, killed or not, so that none is left behind."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None  # this runs in a worker
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
