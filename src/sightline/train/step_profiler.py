"""Some steps of a training under torch.profiler: operators, memory, and where the time of a step goes.

The loop names its parts (`part`); without profiling that costs nothing. The steps are those after a few
warm-up steps of the last phase, in which all trains that will train, or of what is left of it where a run was
continued there. Every process is profiled, so that none waits for a slower one; the first one writes.

On an accelerator each part of a profiled step ends by waiting for the device, so that its time is its own.
No result depends on any of this.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sightline.core import machine, profile_page, runtime, trace_events
from sightline.core.profile_page import Profile, Table
from sightline.core.runtime import Runtime
from sightline.core.trace_events import Event, Span
from sightline.train import distributed
from sightline.train.task import Task

if TYPE_CHECKING:
    from sightline.train.loop import Recipe

WARMUP = 3  # steps before those that are kept, so that the profiler's own start is not; fewer if there are
PARTS = ("data", "forward", "backward", "optimizer", "log", "evaluate", "checkpoint")  # of the loop's step
WAITING, REST = "communication", "rest of the loop"  # what is in no part, or taken out of all
STEP = "ProfilerStep#"
OPERATOR, RANGE, KERNEL = "cpu_op", "user_annotation", "kernel"  # categories of PyTorch's trace
EXCHANGED = ("gloo:", "nccl")  # how names begin of what processes do together, in a thread or a kernel
ENQUEUED = "c10d::"  # and of the operators that ask for it
PROCESSOR = 0  # PyTorch's number of that type of device
MIB = 2**20
NOTES = (
    "data: the arrays of a step are made of pictures and texts. log: its figures are added up. "
    f"{WAITING}: processes exchange numbers and this one computes nothing meanwhile; it is taken out of the "
    "other parts.",
    "The profiler itself takes time in every operator: compare shares, not the speed of whole steps.",
)

NOTHING = contextlib.nullcontext()


class Unprofiled:
    """A training that is not profiled."""

    def part(self, name: str) -> contextlib.AbstractContextManager[Any]:
        return NOTHING

    def end_step(self) -> None:
        pass

    def __enter__(self) -> Unprofiled:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class StepProfiler(Unprofiled):
    """Profiles up to `count` steps and writes them into `folder`: of `left` steps that come after the next
    `ahead` ones, those after the warm-up."""

    def __init__(self, name: str, run: Runtime, folder: Path, ahead: int, left: int, count: int) -> None:
        self._name, self._run, self._folder = name, run, folder
        warmup = max(1, min(WARMUP, left - count))
        active = min(count, left - warmup)
        self._recorded = range(ahead + warmup, ahead + warmup + active)  # steps of this process
        self._step = 0
        activities = [torch.profiler.ProfilerActivity.CPU]
        if run.device.startswith("cuda"):
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        else:
            os.environ["KINETO_LOG_LEVEL"] = "99"  # it calls the lack of such an accelerator an error
        self._profiler = torch.profiler.profile(
            activities=activities,
            schedule=torch.profiler.schedule(wait=ahead, warmup=warmup, active=active, repeat=1),
            on_trace_ready=self._write,
            profile_memory=True,
        )

    def __enter__(self) -> StepProfiler:
        self._profiler.start()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:  # an interrupted training leaves no profile: it has not what was asked for
            self._profiler.on_trace_ready = None
        self._profiler.stop()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        assert name in PARTS
        with torch.profiler.record_function(name):
            yield
            if self._run.device != "cpu" and self._step in self._recorded:
                torch.accelerator.synchronize()

    def end_step(self) -> None:
        self._profiler.step()
        self._step += 1

    def _write(self, profiler: torch.profiler.profile) -> None:
        """All processes come here after the same step."""
        events = _events(profiler)
        trace = StepTrace(events)
        names = [*PARTS, WAITING, REST]
        slots = [0.0] * (len(names) * self._run.world)
        start = len(names) * self._run.rank
        slots[start : start + len(names)] = [trace.parts[name][1] for name in names]
        slots = distributed.sum_over_ranks(slots, self._run)
        by_rank = [slots[at : at + len(names)] for at in range(0, len(slots), len(names))]
        if not self._run.writes:
            return
        tables = [_processes_table(names, by_rank)] if self._run.world > 1 else []
        made = profile(f"{self._name}: {len(self._recorded)} training steps", trace, tables, self._run)
        page = profile_page.write(self._folder, made, events)
        runtime.log(f"profiled {len(self._recorded)} steps of {self._name}; open {page}")


def of(recipe: Recipe, task: Task, run: Runtime, folder: Path, step: int) -> Unprofiled:
    """What profiles recipe.profile_steps of a training that goes on after `step` finished steps, and writes
    into `folder`; nothing for 0."""
    if not recipe.profile_steps:
        return Unprofiled()
    phases = [task.phase(each) for each in range(recipe.steps)]
    first = max(step, phases.index(phases[-1]) if phases else 0)
    left = recipe.steps - first
    if left < 2:
        runtime.log(f"{recipe.name} is not profiled: of its steps {left} are left, and one is for warm-up")
        return Unprofiled()
    return StepProfiler(recipe.name, run, folder, first - step, left, recipe.profile_steps)


def _events(profiler: torch.profiler.profile) -> list[Event]:
    """The events of the trace; the rest of the file names the machine."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return json.loads(path.read_text(encoding="utf-8"))["traceEvents"]


class StepTrace:
    """The trace of some steps: `steps`, `parts` (of every part of a step, of WAITING and of REST: how often,
    and microseconds; they add up to the steps), `operators` (name, calls, microseconds of self time, on the
    loop's thread; with what its ranges do outside of operators they add up to the steps), `kernels` of the
    device, and the largest `memory` of the tensors, by device type, in bytes above that at the beginning."""

    def __init__(self, events: Sequence[Event]) -> None:
        spans = trace_events.of_events(events)
        self.steps = [span for span in spans if span.kind == RANGE and span.name.startswith(STEP)]
        self._loop = {span.thread for span in self.steps}
        own = [span for span in spans if span.kind in (OPERATOR, RANGE) and span.thread in self._loop]
        self.kernels = [span for span in spans if span.kind == KERNEL]
        self.parts = self._parts(own, spans)
        names = [
            span.name if span.kind == OPERATOR else f"outside of operators: {_named(span)}" for span in own
        ]
        self.operators = trace_events.totals(names, trace_events.self_times(own))
        self.memory: dict[int, int] = {}
        for event in events:
            if event["name"] == "[memory]":
                kind = event["args"]["Device Type"]
                self.memory[kind] = max(self.memory.get(kind, 0), event["args"]["Total Allocated"])

    @property
    def us(self) -> float:
        return sum(span.us for span in self.steps)

    def _parts(self, own: Sequence[Span], spans: Sequence[Span]) -> dict[str, tuple[int, float]]:
        together = [span for span in spans if _is_exchange(span)]
        busy = [span for span in own if span.kind == OPERATOR and not span.name.startswith(ENQUEUED)]
        busy += [span for span in self.kernels if not _is_exchange(span)]
        waiting = trace_events.difference(_moments(together), _moments(busy))
        found: dict[str, tuple[int, float]] = {}
        for name in PARTS:
            ranges = [span for span in own if span.kind == RANGE and span.name == name]
            inside = trace_events.difference(_moments(ranges), waiting)
            found[name] = len(ranges), trace_events.length(inside)
        waited = trace_events.intersection(waiting, _moments(self.steps))
        found[WAITING] = len(together), trace_events.length(waited)
        found[REST] = len(self.steps), self.us - sum(us for _, us in found.values())
        return found


def profile(what: str, trace: StepTrace, tables: Sequence[Table], run: Runtime) -> Profile:
    """What the trace of some steps shows of this process; `tables` come first of all."""
    whole_ms = trace.us / 1e3
    ordered = sorted(trace.parts.items(), key=lambda item: (item[0] == REST, -item[1][1]))
    phases = profile_page.rows(whole_ms, [(name, calls, us) for name, (calls, us) in ordered if us])
    facts = machine.facts("torch") | {"processes": str(run.world), "threads of each": str(run.threads)}
    memory: dict[str, float | None] = {
        "tensors of the processor, most above the beginning": trace.memory.get(PROCESSOR, 0) / MIB,
        "tensors of the accelerator, most": None,
        "resident memory of the process, most so far": machine.peak_resident_mib(),
    }
    if run.device.startswith("cuda"):
        facts["accelerator"] = torch.cuda.get_device_name(run.device)
        memory["tensors of the accelerator, most"] = torch.cuda.max_memory_allocated(run.device) / MIB
    kernels = [_kernel_table(trace.kernels)] if trace.kernels else []
    return Profile(
        what, whole_ms, phases, profile_page.rows(whole_ms, trace.operators), memory, facts,
        [*tables, *kernels], list(NOTES),
    )  # fmt: skip


def _processes_table(names: Sequence[str], us_by_rank: Sequence[Sequence[float]]) -> Table:
    shown = [name for at, name in enumerate(names) if any(row[at] for row in us_by_rank)]
    rows: list[tuple[str | float | int | None, ...]] = [
        (f"process {rank}", *(us / 1e3 for name, us in zip(names, row, strict=True) if name in shown))
        for rank, row in enumerate(us_by_rank)
    ]
    note = "Milliseconds. A process that computes longer than the others has the least communication."
    return Table("The processes", note, ("", *shown), rows)


def _kernel_table(kernels: Sequence[Span]) -> Table:
    totals = trace_events.totals([span.name for span in kernels], [span.us for span in kernels])
    rows: list[tuple[str | float | int | None, ...]] = [
        (name, calls, us / 1e3) for name, calls, us in totals[: profile_page.SHOWN]
    ]
    return Table("Kernels of the accelerator", "Its own time.", ("kernel", "calls", "ms"), rows)


def _moments(spans: Sequence[Span]) -> list[trace_events.Interval]:
    return trace_events.union((span.start, span.end) for span in spans)


def _is_exchange(span: Span) -> bool:
    return span.kind in (RANGE, KERNEL) and span.name.startswith(EXCHANGED)


def _named(range_: Span) -> str:
    return REST if range_.name.startswith(STEP) else range_.name
