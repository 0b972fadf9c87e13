"""The whole state of a run on disk, so that a killed run continues to the same bits.

A state is one safetensors file (weights, optimizer moments), the best weights so far in another, and
`state.json`, which names both with their sha256 and holds the rest. Each file is written beside its place,
fsynced and renamed, `state.json` last: a kill at any moment leaves the previous or the new state, never a
mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from filelock import AcquireReturnProxy, FileLock, Timeout

from sightline.core import artifacts, runtime
from sightline.train import distributed

Tensors = dict[str, np.ndarray]
SAVE_EVERY_S = 20.0
LOCK_WAIT_S = 1200.0


@dataclass
class State:
    """All of a run that is not a tensor. `step` counts finished steps; random numbers need no state: every
    generator is seeded by (seed, stage, step)."""

    step: int = 0
    best_step: int = 0
    best_metric: float | None = None
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict] = field(default_factory=list)
    scaler: dict[str, float] = field(default_factory=dict)


def fingerprint(facts: dict, weights: Tensors, run: runtime.Runtime) -> str:
    """sha256 of what decides a run: two runs with the same one may continue each other. The number of
    processes is not in it: it decides how sums are rounded, but not which samples a step takes.

    facts: resolved params, digests of the input artifacts and of the code (JSON values); weights: those it
    starts from.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].tobytes())
    record = {
        "facts": facts,
        "weights": digest.hexdigest(),
        "torch": torch.__version__,
        "threads": run.threads,
        "device": run.device.split(":")[0],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


class Store:
    """The resume folder of one run. One process writes on each disk; all get what the newest one holds."""

    def __init__(self, folder: Path, run: runtime.Runtime) -> None:
        self.folder, self.run = folder, run
        self.saved_at = time.monotonic()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held while a run uses the folder. Waits for another run with the same fingerprint.

        Raises ValueError after LOCK_WAIT_S.
        """
        if not self.run.writes:
            yield
            return
        path = self.folder.with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _acquire(path):
            path.write_text(str(os.getpid()), encoding="utf-8")
            yield

    def due(self) -> bool:
        """Whether to save now. All disks save the same steps, by the clock of the first process."""
        due = time.monotonic() - self.saved_at >= SAVE_EVERY_S
        return distributed.of_main(due, self.run) if self.run.disks > 1 else due

    def save(self, state: State, tensors: Tensors) -> None:
        """Make `tensors` and `state` the state to continue from."""
        if not self.run.writes:
            return
        names = [f"state-{state.step}.safetensors"]
        self.folder.mkdir(parents=True, exist_ok=True)
        artifacts.save_weights(self.folder / names[0], tensors)
        if state.best_metric is not None:
            names.append(f"best-{state.best_step}.safetensors")
        record = {
            "state": asdict(state),
            "world": self.run.world,
            "files": {name: artifacts.sha256(self.folder / name) for name in names},
        }
        artifacts.write_json(self.folder / "state.json", record)
        for path in self.folder.iterdir():
            if path.name not in {*names, "state.json"}:
                path.unlink()
        self.saved_at = time.monotonic()

    def save_best(self, step: int, tensors: Tensors) -> None:
        """Keep `tensors` as the best weights; the next `save` with best_step == step makes it last."""
        if self.run.writes:
            self.folder.mkdir(parents=True, exist_ok=True)
            artifacts.save_weights(self.folder / f"best-{step}.safetensors", tensors)

    def load(self) -> tuple[State, Tensors] | None:
        """The newest state that any disk holds, or None for a fresh start; a disk that has not that one gets
        it. A damaged state is reported and not used: without another the run starts over and ends with the
        same bits."""
        mine = self._record()
        steps = distributed.gather_integers(mine["state"]["step"] if mine else -1, self.run)
        if max(steps) < 0:
            return None
        source = steps.index(max(steps))
        record = distributed.broadcast_json(mine, source, self.run)
        state = State(**record["state"])
        name, best_name = f"state-{state.step}.safetensors", f"best-{state.best_step}.safetensors"
        tensors = self._shared(name, source)
        if self.run.disks > 1:
            best = self._shared(best_name, source) if best_name in record["files"] else None
            if self.run.writes and mine != record:
                if best is not None:
                    self.save_best(state.best_step, best)
                self.save(state, tensors)
        if record["world"] != self.run.world:
            runtime.log(
                f"{record['world']} processes saved the state and {self.run.world} continue it: the samples "
                "are the same, the last bits of the sums are those of neither"
            )
        return state, tensors

    def _record(self) -> dict | None:
        """What state.json holds, if this process writes on its disk and the files are as it says."""
        path = self.folder / "state.json"
        if not self.run.writes or not path.exists():
            return None
        try:
            record = artifacts.read_json(path)
            State(**record["state"])
            for name, digest in record["files"].items():
                if artifacts.sha256(self.folder / name) != digest:
                    raise ValueError(f"{name} is not what was written (sha256 differs from state.json)")
            return record
        except (ValueError, KeyError, TypeError, OSError) as error:
            runtime.log(f"the saved state in {self.folder} is damaged ({error}) and is not used")
            return None

    def _shared(self, name: str, source: int) -> Tensors:
        """The tensors of a file of process `source`, in every process."""
        mine = artifacts.load_weights(self.folder / name) if self.run.rank == source else {}
        return distributed.broadcast_arrays(mine, source, self.run)

    def best(self, state: State) -> Tensors:
        return self._shared(f"best-{state.best_step}.safetensors", 0)

    def discard(self) -> None:
        """Remove the folder, once the stage has written what the run was for."""
        if self.run.writes and self.folder.exists():
            shutil.rmtree(self.folder)


def _acquire(path: Path) -> AcquireReturnProxy:
    """Take the lock whose file names its holder. Raises ValueError where another keeps it for LOCK_WAIT_S."""
    lock = FileLock(path)
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        owner = path.read_text(encoding="utf-8").strip() or "unknown"
        runtime.log(f"waiting for process {owner}, which trains the same thing")
    try:
        return lock.acquire(LOCK_WAIT_S)
    except Timeout:
        raise ValueError(
            f"process {owner} has been training the same thing for {LOCK_WAIT_S / 60:.0f} minutes "
            f"(lock {path}); wait for it to end or stop it, then start again"
        ) from None
