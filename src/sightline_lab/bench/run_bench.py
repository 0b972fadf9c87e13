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
from sightline.core.machine import processor
from sightline.core.params.loader import Params
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.inference import calibration_data, openvino_graph
from sightline.inference.engine import Engine
from sightline.inference.execution_provider import CPU, VARIABLE
from sightline.inference.session import Session
from sightline_lab.bench import (
    bench_models,
    external_baselines,
    paired_timing,
    spin_overhead,
    training_throughput,
    workloads,
)
from sightline_lab.bench.bench_models import COMPILED, OPENVINO, TORCHAO, BenchModel
from sightline_lab.bench.workloads import EAGER

BATCHES = (1, 8)
TOKENS = 32  # of an answer that is timed
QUESTIONS = 512  # validation questions for the accuracy of each form
STARTS = 5  # cold starts


def run(root: Path, params: Params, rounds: int, threads: int, echo: Callable[[str], None]) -> dict:
    """The whole benchmark as one JSON object; the default model takes part where it has been built."""
    torch.set_num_threads(threads)
    models = root / "models"
    result = {
        "machine": machine(threads),
        "rounds": rounds,
        "absent": external_baselines.absent() | bench_models.absent(),
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        scratch, chosen = Path(folder), []
        if (models / "onnx" / artifacts.MANIFEST).exists():
            chosen.append(bench_models.default(models, scratch))
            result["quality"] = quality(chosen[0], root, params.data.max_pixels)
            result["memory"] = {
                EAGER: child("torch", models, "models"),
                **{
                    name: child("session", chosen[0].folder, form, provider)
                    for name, (form, provider) in chosen[0].exported().items()
                    if name not in OPENVINO
                },
            }
        else:
            result["absent"]["default model"] = "not built: run `make repro`"
        if (models / "bundle" / artifacts.MANIFEST).exists():
            result["cold_start"] = cold_start(models / "bundle")
        echo("exporting the shapes with random weights")
        chosen.append(bench_models.reference(params, scratch))
        chosen.append(bench_models.photo(params, scratch))
        chosen.append(bench_models.causal(scratch, params.export.opset))
        result["bytes"] = {bench_model.name: bench_model.bytes() for bench_model in chosen}
        for bench_model in chosen:
            engines = bench_model.engines(threads)
            for batch in BATCHES:
                echo(f"{bench_model.name}, batch {batch}")
                result["rows"] += measure(bench_model, engines, batch, rounds, result["absent"])
    echo("training against open_clip")
    result["training"] = training_throughput.run(threads)
    return result


def measure(
    bench_model: BenchModel,
    engines: dict[str, Engine],
    batch: int,
    rounds: int,
    absent: dict[str, str],
    tokens: int = TOKENS,
) -> list[dict]:
    """Rows of paired_timing.rows for every task of one model at one batch size. A form that does not run
    is named in `absent` with the reason."""
    runners: dict[str, dict[str, Callable[[], object]]] = {}
    config = next(engine.config for name, engine in engines.items() if name.startswith("ONNX"))
    inputs = workloads.Inputs.random(
        batch, config["image_size"], bench_model.question, bench_model.caption, config["vocab_size"], tokens
    )
    for name, engine in engines.items():
        try:
            with warnings.catch_warnings(action="ignore"):
                calls = workloads.tasks(engine, inputs)
                for call in calls.values():
                    call()
        except Exception as error:  # compilers raise anything; the other forms can still run
            if name not in (COMPILED, TORCHAO, *OPENVINO):
                raise
            reason = next(iter(str(error).splitlines()), "")[:200]
            absent[f"{name}, {bench_model.name}"] = f"{type(error).__name__}: {reason}"
            continue
        for task, call in calls.items():
            runners.setdefault(task, {})[name] = call
    for task, calls in external_baselines.tasks(bench_model, inputs).items():
        runners[task] |= calls
    rows = []
    for task, calls in runners.items():
        if task == "answer, SPIN":
            continue
        seconds = paired_timing.interleaved(calls, rounds)
        key = {"shape": bench_model.name, "task": task, "batch": batch}
        rows += paired_timing.rows(seconds, workloads.units(task, inputs), EAGER, **key)
    key = {"shape": bench_model.name, "batch": batch}
    return rows + spin_overhead.rows(runners["answer"], runners["answer, SPIN"], **key)


def quality(bench_model: BenchModel, root: Path, max_pixels: int) -> dict[str, dict[str, float]]:
    """Accuracy of each exported form on short validation questions, and the percentage of its answers that
    differ from float32's in ONNX Runtime."""
    items, val = Items(root / "data/raw"), Triples(root / "data/vqa", "val")
    questions = calibration_data.read(items, val, QUESTIONS, max_pixels, short=True)
    ids_by_name = {}
    result = {}
    for name, (form, _) in bench_model.exported().items():
        session = Session.open(bench_model.folder, form)
        session.engine = bench_model.engine(name, threads=1)
        answers = calibration_data.answer(session, questions)
        ids_by_name[name] = [answer.ids for answer in answers]
        right = 100 * float(np.mean(calibration_data.correct(session, answers, questions)))
        flipped = 100 * float(
            np.mean([a != b for a, b in zip(ids_by_name[name], ids_by_name["ONNX fp32"], strict=True)])
        )
        result[name] = {
            "accuracy": paired_timing.rounded(right),
            "flipped": paired_timing.rounded(flipped),
        }
    return result


def cold_start(bundle: Path) -> dict:
    """Medians over fresh processes: import, load, first answer, and the largest memory."""
    runs = [child("session", bundle, "shipped") for _ in range(STARTS)]
    return {key: paired_timing.spread(np.array([run[key] for run in runs])) for key in runs[0]}


def child(kind: str, folder: Path, variant: str, provider: str = CPU) -> dict[str, float]:
    """The measurements of one fresh process; `provider` computes its graphs."""
    command = [sys.executable, "-m", "sightline_lab.bench.cold_start", kind, str(folder), variant]
    env = os.environ | {"OMP_NUM_THREADS": "1", VARIABLE: provider}
    ended = subprocess.run(command, capture_output=True, text=True, env=env)
    if ended.returncode:
        raise ValueError(f"bench: {' '.join(command[2:])} failed: {ended.stderr.strip().splitlines()[-1]}")
    return {key: paired_timing.rounded(value) for key, value in json.loads(ended.stdout).items()}


def machine(threads: int) -> dict:
    """What the figures were measured on, and its load by other programs (1-minute load per core)."""
    import onnxruntime

    cores = len(os.sched_getaffinity(0))
    openvino = {} if openvino_graph.lacking("f32") else {"openvino": openvino_graph.version()}
    return {
        "processor": processor(), "cores": cores, "threads": threads,
        "python": platform.python_version(), "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__, **openvino,
        "load": paired_timing.rounded(os.getloadavg()[0] / cores),
    }  # fmt: skip
