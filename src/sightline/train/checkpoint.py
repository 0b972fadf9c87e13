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
    """sha256 of all that decides the bits of a run: two runs with the same one may continue each other.

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
        "world": run.world,
        "threads": run.threads,
        "device": run.device.split(":")[0],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


class Store:
    """The resume folder of one run. Process 0 writes; every process reads."""

    def __init__(self, folder: Path, run: runtime.Runtime) -> None:
        self.folder, self.run = folder, run
        self.saved_at = time.monotonic()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held while a run uses the folder. Waits for another run with the same fingerprint.

        Raises ValueError after LOCK_WAIT_S.
        """
        if not self.run.is_main:
            yield
            return
        path = self.folder.with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _acquire(path):
            path.write_text(str(os.getpid()), encoding="utf-8")
            yield

    def due(self) -> bool:
        return self.run.is_main and time.monotonic() - self.saved_at >= SAVE_EVERY_S

    def save(self, state: State, tensors: Tensors) -> None:
        """Make `tensors` and `state` the state to continue from."""
        if not self.run.is_main:
            return
        names = [f"state-{state.step}.safetensors"]
        self.folder.mkdir(parents=True, exist_ok=True)
        artifacts.save_weights(self.folder / names[0], tensors)
        if state.best_metric is not None:
            names.append(f"best-{state.best_step}.safetensors")
        record = {
            "state": asdict(state),
            "files": {name: artifacts.sha256(self.folder / name) for name in names},
        }
        artifacts.write_json(self.folder / "state.json", record)
        for path in self.folder.iterdir():
            if path.name not in {*names, "state.json"}:
                path.unlink()
        self.saved_at = time.monotonic()

    def save_best(self, step: int, tensors: Tensors) -> None:
        """Keep `tensors` as the best weights; the next `save` with best_step == step makes it last."""
        if self.run.is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            artifacts.save_weights(self.folder / f"best-{step}.safetensors", tensors)

    def load(self) -> tuple[State, Tensors] | None:
        """The saved state, or None for a fresh start. A damaged state is reported and not used: the run
        starts over and ends with the same bits."""
        path = self.folder / "state.json"
        if not path.exists():
            return None
        try:
            record = artifacts.read_json(path)
            state = State(**record["state"])
            for name, digest in record["files"].items():
                if artifacts.sha256(self.folder / name) != digest:
                    raise ValueError(f"{name} is not what was written (sha256 differs from state.json)")
            return state, artifacts.load_weights(self.folder / f"state-{state.step}.safetensors")
        except (ValueError, KeyError, TypeError, OSError) as error:
            runtime.log(f"the saved state in {self.folder} is damaged ({error}); starting over")
            return None

    def best(self, state: State) -> Tensors:
        return artifacts.load_weights(self.folder / f"best-{state.best_step}.safetensors")

    def discard(self) -> None:
        """Remove the folder, once the stage has written what the run was for."""
        if self.run.is_main and self.folder.exists():
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
