"""Pairs per second of contrastive training against open_clip's loop: equal towers, batch, loss, precision."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from sightline_lab.bench import external_baselines, paired_timing

BATCH = 32  # pairs of all processes together
STEPS = 5  # that are timed
PRECISIONS = ("bf16", "fp32")
ROUNDS = 3  # a run starts processes and warms up, so there are fewer than of the other tasks
SIDES = ("sightline", "open_clip")
Train = Callable[[str, str, int, int], float]


def run(processors: int, train: Train | None = None) -> list[dict]:
    """One row per precision: `launches` (side and launch -> pairs per second), `best` (side -> its faster
    launch) and `ratio`, ours to open_clip's, both by their best launch, in the same round. Nothing where
    open_clip is not installed. train: what gives pairs per second for side, precision, processes, threads."""
    if "open_clip" in external_baselines.absent():
        return []
    train, rows = train or _process, []
    launches = sorted({(1, processors), (processors, 1)})
    for precision in PRECISIONS:
        speeds: dict[tuple[str, tuple[int, int]], list[float]] = {}
        for _ in range(ROUNDS):
            for launch in launches:
                for side in SIDES:
                    speeds.setdefault((side, launch), []).append(train(side, precision, *launch))
        best = {side: max(launches, key=lambda launch: np.median(speeds[side, launch])) for side in SIDES}
        ours, theirs = (np.array(speeds[side, best[side]]) for side in SIDES)
        rows.append(
            {
                "precision": precision, "batch": BATCH, "ratio": paired_timing.spread(ours / theirs),
                "best": {side: launched(*best[side]) for side in SIDES},
                "launches": {
                    f"{side}, {launched(*launch)}": paired_timing.spread(np.array(values))
                    for (side, launch), values in speeds.items()
                },
            }
        )  # fmt: skip
    return rows


def launched(processes: int, threads: int) -> str:
    """In words: 2 processes of 1 thread."""
    return f"{processes} process{'es' * (processes > 1)} of {threads} thread{'s' * (threads > 1)}"


def _process(side: str, precision: str, processes: int, threads: int) -> float:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [
        *launcher,
        "-m",
        "sightline_lab.bench.training_process",
        side,
        precision,
        str(threads),
        str(BATCH),
        str(STEPS),
    ]
    threaded = os.environ | {"OMP_NUM_THREADS": str(threads)}
    ended = subprocess.run(command, capture_output=True, text=True, env=threaded)
    if ended.returncode:
        raise ValueError(f"bench: {' '.join(command[1:])} failed: {ended.stderr.strip().splitlines()[-1]}")
    return float(json.loads(ended.stdout.strip().splitlines()[-1]))
