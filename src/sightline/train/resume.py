"""A training run that may have been begun before: continue it, and forget it once its result is written."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.core import runtime, source_digest
from sightline.core.runtime import Runtime
from sightline.core.tracking import Curves
from sightline.train import distributed, step_profiler
from sightline.train.checkpoint import State, Store, fingerprint
from sightline.train.loop import Recipe, fit
from sightline.train.mean_weights import MeanWeights
from sightline.train.optimizer import adamw
from sightline.train.pack_state import pack_weights, unpack_state, unpack_weights
from sightline.train.task import Task

ROOM = Path(__file__).parent  # training: all of it, and all that it reaches, decides a run


@contextmanager
def trained(task: Task, recipe: Recipe, run: Runtime, facts: dict, curves_folder: Path) -> Iterator[State]:
    """Train `task.model` and yield with its best weights in place; the body writes the artifact. The saved
    state is removed after the body, so that a kill at any earlier moment costs at most the last seconds.

    facts: JSON values that, beside the recipe and the weights at the start, decide the result.
    """
    code = source_digest.digest(ROOM, Path(inspect.getfile(type(task))))
    facts = {**facts, "recipe": recipe.facts(), "batch": task.per_step, "code": code}
    key = fingerprint(facts, pack_weights(task.model), run)
    distributed.check_same(key, run)
    store = Store(runtime.resume_dir(recipe.name, key), run)
    processes = "1 process" if run.world == 1 else f"{run.world} processes"
    runtime.log(f"{recipe.name} trains in {processes} on {run.device.split(':')[0]}, in {recipe.precision}")
    with store.lock():
        distributed.barrier(run)
        saved = store.load()
        optimizer = adamw(task, recipe.weight_decay)
        mean = MeanWeights(task.model, recipe.ema)
        state, tensors = saved or (State(), {})
        if saved:
            unpack_state(tensors, task.model, optimizer)
            mean.unpack(tensors)
            runtime.log(f"continuing {recipe.name} after step {state.step} of {recipe.steps}")
        distributed.barrier(run)
        curves = Curves(curves_folder, state.history) if run.writes else None
        if runtime.stop_requested(run):  # from here on a signal waits for the end of a step
            raise runtime.Stopped()
        profiler = step_profiler.of(recipe, task, run, curves_folder / "profile", state.step)
        fit(task, recipe, run, store, curves, state, optimizer, mean, profiler)
        if curves is not None:
            curves.close()
        distributed.barrier(run)
        if state.best_metric is not None:
            unpack_weights(store.best(state), task.model)
        task.eval()
        yield state
        distributed.barrier(run)
        store.discard()
