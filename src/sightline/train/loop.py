"""The training loop. Nothing in it is about text, pictures or questions: a task brings batches, loss and
metric.

The order inside a step is fixed: 1 batch, 2 learning rate, 3 forward and backward, 4 clip and update,
5 log, evaluate, checkpoint. Random numbers are seeded anew in each step, so their state is a function of it.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from sightline.core import progress as core_progress
from sightline.core import runtime
from sightline.core.params.loader import Params
from sightline.core.runtime import Runtime
from sightline.core.tracking import Curves
from sightline.train import compiled, data_loader, distributed, micro_batches, schedule
from sightline.train import optimizer as adam
from sightline.train.checkpoint import State, Store
from sightline.train.mean_weights import MeanWeights
from sightline.train.pack_state import pack_state, pack_weights
from sightline.train.sharding import Sharding
from sightline.train.step_profiler import Unprofiled
from sightline.train.task import Task
from sightline.train.training_progress import Progress

CLIP = 1.0
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Recipe:
    """What the loop needs of a stage's params. lr: peak rate; warmup_steps: of the linear part."""

    name: str
    seed: int
    steps: int
    lr: float
    warmup_steps: int
    weight_decay: float
    precision: str
    evals: int
    profile_steps: int = 0  # steps to trace (step_profiler), which decide no bit
    micro_batch: int = 0  # items that a process computes at once (micro_batches); 0: all of its batch
    ema: float = 0.0  # decay of the mean of the weights (mean_weights); 0: none
    compile: bool = False
    shard_above: int = 0  # parameters of a part beyond which its layers are divided (sharding); 0: none is

    def facts(self) -> dict[str, Any]:
        """What of it decides the result."""
        return {name: value for name, value in asdict(self).items() if name != "profile_steps"}

    @classmethod
    def of(cls, name: str, section: Any, params: Params, steps: int, run: Runtime) -> Recipe:
        """section: the stage's params, which hold lr_scale, warmup_ratio, weight_decay, precision and
        evals."""
        precision = runtime.training_precision(section.precision, run.device)
        if params.training.fsdp and precision == "fp16":
            raise ValueError(
                f"{name}.precision: got fp16, expected bf16 or fp32 where training.fsdp divides "
                "layers: each process would scale its part of the gradients by itself"
            )
        return cls(
            name,
            params.seed,
            steps,
            params.lr * section.lr_scale,
            schedule.warmup_steps(steps, section.warmup_ratio),
            section.weight_decay,
            precision,
            section.evals,
            params.profile_steps,
            params.training.micro_batch,
            params.training.ema,
            params.training.compile and compiled.works(run.device),
            params.training.fsdp,
        )


def fit(
    task: Task,
    recipe: Recipe,
    run: Runtime,
    store: Store,
    curves: Curves | None,
    state: State,
    optimizer: torch.optim.AdamW,
    mean: MeanWeights,
    profiler: Unprofiled,
) -> None:
    """Train `task.model` from `state` to recipe.steps finished steps; `mean` is that of its weights.

    Raises ValueError for a loss or gradient that is not finite, runtime.Stopped after SIGTERM or SIGINT
    (the state at the current step is saved).
    """
    scaler = _scaler(recipe, run, state)
    sharding = Sharding(task, recipe.shard_above, run)
    evaluate_after = schedule.eval_steps(recipe.steps, recipe.evals)
    log_every = schedule.log_steps(recipe.steps)
    progress, phase = Progress(task, recipe.steps, state.step), None
    module: torch.nn.Module = task  # wrapped anew in every phase
    in_parts = micro_batches.are_needed(task, recipe.micro_batch, run)
    if recipe.compile:
        compiled.compile_parts(task.model)
    if task.starts_trained and state.best_metric is None:
        with mean.in_place():
            _evaluate(task, recipe, run, store, curves, state)
    with (
        profiler,
        contextlib.closing(data_loader.batches(task, state.step, recipe.steps, run)) as reading,
        core_progress.step("training step", recipe.steps, state.step) as bar,
    ):
        for step in range(state.step, recipe.steps):
            # 1. batch
            torch.manual_seed(runtime.derive_seed(recipe.seed, recipe.name, step, run.rank))
            if task.phase(step) != phase:
                phase = task.phase(step)
                task.enter(phase)
                optimizer, mean = sharding.divide(optimizer, mean, recipe.weight_decay)
                module = task if in_parts or sharding.active else distributed.wrap(task, run)
            task.train()
            with profiler.part("data"):
                batch = next(reading) if in_parts else task.place(next(reading))

            # 2. learning rate
            factor = schedule.warmup_cosine(step, recipe.steps, recipe.warmup_steps)
            adam.set_lr(optimizer, task, recipe.lr * factor, step)

            # 3. forward and backward
            if in_parts:
                loss, report = micro_batches.backward(
                    task, batch, recipe.micro_batch, scaler, partial(autocast, recipe, run), profiler
                )
            else:
                with profiler.part("forward"), autocast(recipe, run):
                    loss, report = module(batch)
                with profiler.part("backward"):
                    scaler.scale(loss).backward()
                    if sharding.active:
                        distributed.mean_gradients(task, run)

            # 4. clip and update
            with profiler.part("optimizer"):
                scaler.unscale_(optimizer)
                norm = sharding.clip(CLIP)
                _check_finite(recipe, step, loss, norm, batch, scaler.is_enabled())
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
                mean.update(step + 1)

            # 5. log, evaluate, checkpoint
            state.step = step + 1
            state.scaler = scaler.state_dict()
            with profiler.part("log"):
                _add(state, run, {"loss": loss, "gradient_norm": norm, **report})
            bar.advance(note=f"loss {state.sums['loss'] / state.sums['steps']:.3g}")
            evaluating = state.step in evaluate_after
            if evaluating or state.step % log_every == 0:
                progress.loss = _log(state, curves)
            if evaluating:
                with profiler.part("evaluate"), mean.in_place(), sharding.whole():
                    _evaluate(task, recipe, run, store, curves, state)
                progress.show(state)
            stop = runtime.stop_requested(run)
            saving = stop or evaluating or store.due()
            if saving and run.disks > 1:  # each saves its own, which must be the same
                distributed.same_buffers(task.model, run)
            if saving and (run.writes or sharding.active):
                with profiler.part("checkpoint"):
                    store.save(state, pack_state(task.model, optimizer) | mean.pack())
            if stop:
                raise runtime.Stopped()
            profiler.end_step()
        sharding.gather()


def _evaluate(
    task: Task, recipe: Recipe, run: Runtime, store: Store, curves: Curves | None, state: State
) -> None:
    """Measure the model on validation and keep its weights if it is better than all before it."""
    task.eval()
    distributed.same_buffers(task.model, run)
    with torch.no_grad(), autocast(recipe, run):
        metric, values = task.evaluate()
    if not math.isfinite(metric):
        raise ValueError(
            f"{recipe.name}: validation {task.metric} is {metric} after step {state.step}; "
            "look at the validation data, then lower lr or the stage's lr_scale"
        )
    _record(state, curves, {f"val_{name}": value for name, value in {task.metric: metric, **values}.items()})
    better = state.best_metric is None or metric > state.best_metric
    if better or (task.keeps_last_of_equals and metric == state.best_metric):
        state.best_metric, state.best_step = metric, state.step
        if run.writes:
            store.save_best(state.step, pack_weights(task.model))


def _add(state: State, run: Runtime, report: dict[str, torch.Tensor]) -> None:
    """Add a step's report, averaged over processes, to the sums since the last point of the curves."""
    means = distributed.mean_over_ranks([value.item() for value in report.values()], run)
    for name, value in {**dict(zip(report, means, strict=True)), "steps": 1.0}.items():
        state.sums[name] = state.sums.get(name, 0.0) + value


def _log(state: State, curves: Curves | None) -> float:
    """Put the means since the last point into the curves; returns the mean loss."""
    count = state.sums.pop("steps")
    means = {name: total / count for name, total in state.sums.items()}
    state.sums = {}
    _record(state, curves, means)
    return means["loss"]


def _record(state: State, curves: Curves | None, values: dict[str, float]) -> None:
    state.history.append({"step": state.step, **values})
    if curves is not None:
        curves.log(state.step, values)


def _check_finite(
    recipe: Recipe, step: int, loss: torch.Tensor, norm: torch.Tensor, batch: dict, scaled: bool
) -> None:
    """ValueError naming the culprit. A scaled (fp16) gradient may overflow: the scaler skips that update."""
    # A function like tanh hides an infinite input from the loss.
    numbers = (value for value in batch.values() if isinstance(value, torch.Tensor))
    what = None if all(value.isfinite().all() for value in numbers) else "batch"
    if what is None and not loss.isfinite():
        what = "loss"
    if what is None and not scaled and not norm.isfinite():
        what = "gradient"
    if what:
        raise ValueError(
            f"{recipe.name}: the {what} of step {step} is not finite (loss {loss.item()}, gradient norm "
            f"{norm.item()}); items of the batch: {', '.join(map(str, batch['items']))}. No update was made. "
            "Look at these items; otherwise lower lr or the stage's lr_scale, or set its precision to fp32"
        )


def _scaler(recipe: Recipe, run: Runtime, state: State) -> torch.amp.GradScaler:
    kind = run.device.split(":")[0]
    scaler = torch.amp.GradScaler(kind, enabled=recipe.precision == "fp16" and kind != "cpu")
    if state.scaler:
        scaler.load_state_dict(state.scaler)
    return scaler


def autocast(recipe: Recipe, run: Runtime) -> contextlib.AbstractContextManager:
    """The precision that a training computes in."""
    dtype = DTYPES[recipe.precision]
    return contextlib.nullcontext() if dtype is None else torch.autocast(run.device.split(":")[0], dtype)
