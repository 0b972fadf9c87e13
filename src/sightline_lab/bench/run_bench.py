"""`sightline lab bench`: every form of a model against eager PyTorch and other libraries, in one run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sightline.core import artifacts
from sightline.core.params.loader import Params
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.inference import calibration_data
from sightline.inference.engine import Engine
from sightline.inference.session import Session
from sightline_lab.bench import (
    bench_models,
    external_baselines,
    paired_timing,
    spin_overhead,
    training_throughput,
    workloads,
)
from sightline_lab.bench.bench_models import COMPILED, TORCHAO, Subject
from sightline_lab.bench.workloads import EAGER

BATCHES = (1, 8)
TOKENS = 32  # of an answer that is timed
ASKED = 512  # validation questions that tell what a form loses
STARTS = 5  # cold starts


def run(root: Path, params: Params, rounds: int, threads: int, say: Callable[[str], None]) -> dict:
    """The whole benchmark as one JSON object; the default model takes part where it has been built."""
    torch.set_num_threads(threads)
    models = root / "models"
    result = {
        "machine": machine(threads),
        "rounds": rounds,
        "absent": external_baselines.absent(),
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as place:
        scratch, chosen = Path(place), []
        if (models / "onnx" / artifacts.MANIFEST).exists():
            chosen.append(bench_models.default(models, scratch))
            result["quality"] = quality(chosen[0], root, params.data.max_pixels)
            result["memory"] = {
                EAGER: child("torch", models, "models"),
                **{f"ONNX {form}": child("session", chosen[0].folder, form) for form in chosen[0].forms},
            }
        else:
            result["absent"]["default model"] = "not built: run `make repro`"
        if (models / "bundle" / artifacts.MANIFEST).exists():
            result["cold_start"] = cold_start(models / "bundle")
        say("exporting the reference shape")
        chosen.append(bench_models.reference(params, scratch))
        result["bytes"] = {subject.name: subject.bytes() for subject in chosen}
        for subject in chosen:
            engines = subject.engines(threads)
            for batch in BATCHES:
                say(f"{subject.name}, batch {batch}")
                result["rows"] += measure(subject, engines, batch, rounds, result["absent"])
    say("training against open_clip")
    result["training"] = training_throughput.run(threads)
    return result


def measure(
    subject: Subject,
    engines: dict[str, Engine],
    batch: int,
    rounds: int,
    absent: dict[str, str],
    tokens: int = TOKENS,
) -> list[dict]:
    """Rows of timing.rows for every task of one model at one batch size. A form that does not run is named in
    `absent` with the reason."""
    runners: dict[str, dict[str, Callable[[], object]]] = {}
    config = next(engine.config for name, engine in engines.items() if name.startswith("ONNX"))
    inputs = workloads.Inputs.drawn(
        batch, config["image_size"], subject.question, subject.caption, config["vocab_size"], tokens
    )
    for name, engine in engines.items():
        try:
            with warnings.catch_warnings(action="ignore"):
                calls = workloads.tasks(engine, inputs)
                for call in calls.values():
                    call()
        except Exception as error:  # compilers raise anything; the other forms can still run
            if name not in (COMPILED, TORCHAO):
                raise
            reason = next(iter(str(error).splitlines()), "")[:200]
            absent[f"{name}, {subject.name}"] = f"{type(error).__name__}: {reason}"
            continue
        for task, call in calls.items():
            runners.setdefault(task, {})[name] = call
    if subject.name == "reference":
        for task, calls in external_baselines.tasks(inputs).items():
            runners[task] |= calls
    rows = []
    for task, calls in runners.items():
        if task == "answer, SPIN":
            continue
        seconds = paired_timing.interleaved(calls, rounds)
        key = {"shape": subject.name, "task": task, "batch": batch}
        rows += paired_timing.rows(seconds, workloads.units(task, inputs), EAGER, **key)
    key = {"shape": subject.name, "batch": batch}
    return rows + spin_overhead.rows(runners["answer"], runners["answer, SPIN"], **key)


def quality(subject: Subject, root: Path, max_pixels: int) -> dict[str, dict[str, float]]:
    """Accuracy of each ONNX form on short validation questions, and the percentage of its answers that differ
    from float32's."""
    items, val = Items(root / "data/raw"), Triples(root / "data/vqa", "val")
    asked = calibration_data.read(items, val, ASKED, max_pixels, short=True)
    said = {}
    found = {}
    for form in subject.forms:
        session = Session.open(subject.folder, form)
        given = calibration_data.answer(session, asked)
        said[form] = [answer.ids for answer in given]
        right = 100 * float(np.mean(calibration_data.correct(session, given, asked)))
        flipped = 100 * float(np.mean([a != b for a, b in zip(said[form], said["fp32"], strict=True)]))
        found[f"ONNX {form}"] = {
            "accuracy": paired_timing.rounded(right),
            "flipped": paired_timing.rounded(flipped),
        }
    return found


def cold_start(bundle: Path) -> dict:
    """Medians over fresh processes: import, load, first answer, and the largest memory."""
    runs = [child("session", bundle, "shipped") for _ in range(STARTS)]
    return {key: paired_timing.spread(np.array([found[key] for found in runs])) for key in runs[0]}


def child(kind: str, folder: Path, variant: str) -> dict[str, float]:
    """What one fresh process measured of itself."""
    command = [sys.executable, "-m", "sightline_lab.bench.cold_start", kind, str(folder), variant]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if ended.returncode:
        raise ValueError(f"bench: {' '.join(command[2:])} failed: {ended.stderr.strip().splitlines()[-1]}")
    return {key: paired_timing.rounded(value) for key, value in json.loads(ended.stdout).items()}


def machine(threads: int) -> dict:
    """What the figures were measured on, and how busy it was with other things (1-minute load per core)."""
    import onnxruntime

    cores = len(os.sched_getaffinity(0))
    return {
        "processor": paired_timing.processor(), "cores": cores, "threads": threads,
        "python": platform.python_version(), "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "load": paired_timing.rounded(os.getloadavg()[0] / cores),
    }  # fmt: skip
