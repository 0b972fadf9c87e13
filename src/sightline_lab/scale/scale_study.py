"""The stages over a synthetic table, each as its own process, and what each says that it needed.

The model is tiny and is trained for a few steps: what grows with the rows is the handling of data.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sightline.core.artifacts import read_json, write_json
from sightline.core.params import edit, resolved
from sightline.core.params.loader import load_params
from sightline_lab.scale import synthetic_table

STAGES = (
    "download", "convert", "pretrain", "align", "finetune", "compress", "export", "index", "explain",
    "evaluate", "red_team", "report", "gate",
)  # fmt: skip
PROFILE = "own"
SIGN = 20_000  # rows between two signs of life
STEPS = 20  # of each training
BATCH = 32
TINY = {
    "profile": PROFILE, "launch": "python", "data.image_side": 64, "text.tower": "bert", "text.width": 32,
    "text.layers": 1, "text.heads": 2, "vision.tower": "small_cnn", "vision.image_size": 32,
    "vision.width": 32, "finetune.width": 32, "finetune.layers": 1, "finetune.heads": 2,
    "align.embed_dim": 64, "pretrain.batch_size": BATCH, "align.batch_size": BATCH,
    "finetune.batch_size": BATCH, "pretrain.evals": 1, "align.evals": 1, "finetune.evals": 1,
    "align.min_steps": 0, "finetune.min_steps": 0,
    "align.matching_samples": 16, "spin.layers": [0], "compress.batches": 2, "export.calibration_items": 32,
    "export.parity_items": 32, "export.max_flips": 100.0, "export.max_drop": 100.0,
    "export.selection_items": 64, "explain.items": 2, "evaluate.max_items": 200, "evaluate.bootstrap": 100,
    "red_team.items": 8,
}  # fmt: skip
Echo = Callable[[str], None]


def run(
    checkout: Path, scratch: Path, rows: int, side: int, seed: int, echo: Echo
) -> Iterator[dict[str, Any]]:
    """Every stage over `rows` rows in `scratch`, which must not exist; after each, what all so far needed.

    A stage that fails ends the run with RuntimeError; the gate may fail.
    """
    data, work = scratch / "input", scratch / "work"
    began = time.monotonic()
    for done in synthetic_table.write(data, rows, side, seed):
        if done % SIGN == 0:
            echo(f"{rows:,} rows: {done:,} drawn")
    work.mkdir()
    shutil.copyfile(checkout / "params.yaml", work / "params.yaml")
    shutil.copytree(checkout / "profiles", work / "profiles")
    epochs = STEPS * BATCH / (0.8 * rows)
    trainings = {f"{stage}.epochs": epochs for stage in ("pretrain", "align", "finetune")}
    inputs = {"data.path": str(data / "items.csv"), "data.pictures": str(data / "pictures"), "seed": seed}
    edit.fill(work / "params.yaml", TINY | trainings | {"compress.recovery_epochs": epochs / 4} | inputs)
    resolved.write(load_params(work / "params.yaml"), work)
    echo(f"{rows:,} rows: table and {side}-pixel pictures in {time.monotonic() - began:.0f} s")
    for stage in STAGES:
        _run_stage(checkout, work, stage)
        costs = read_json(work / ".resume" / "cost" / f"{PROFILE}.json")
        if stage in costs:
            echo(f"{rows:,} rows: {stage} {costs[stage]['peak_mib']} MiB, {costs[stage]['wall_seconds']} s")
        size = sum(path.stat().st_size for path in (work / "data" / "raw").iterdir())
        yield {"rows": rows, "side": side, "raw_mib": round(size / 2**20), "stages": costs}


def _run_stage(checkout: Path, work: Path, stage: str) -> None:
    """One script of stages/ in `work`; its output goes to log.txt there."""
    command = [sys.executable, str(checkout / "stages" / f"{stage}.py")]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with open(work / "log.txt", "a", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode and stage != "gate":
        raise RuntimeError(f"{stage} ended with {done.returncode}; its output is in {work / 'log.txt'}")


def merge(path: Path, result: dict[str, Any]) -> None:
    """Put the result of one number of rows into the JSON of all, in place of one of another session. Of a
    stage that the same session measured before, the run of fewer core-seconds stays: others disturbed it
    less."""
    sizes = read_json(path)["sizes"] if path.is_file() else []
    others = [size for size in sizes if size["rows"] != result["rows"]]
    for size in sizes:
        if size["rows"] == result["rows"] and size.get("session") == result["session"]:
            stages = size["stages"] | {
                stage: min(cost, size["stages"].get(stage, cost), key=lambda one: one["core_seconds"])
                for stage, cost in result["stages"].items()
            }
            result = result | {"stages": stages}
    write_json(path, {"sizes": sorted([*others, result], key=lambda size: size["rows"])})
