"""The process around a stage: params, device, threads, seeds, ranks, signals, orphans and cost.

torch is imported inside the functions that need it, so a stage that needs none never pays for it.
The only module that reads the environment variables of torchrun and DVC.
"""

import hashlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NoReturn

import psutil
from filelock import FileLock

from sightline.core import (
    artifacts,
    disk_writers,
    dvc_lock,
    launcher_watchdog,
    machine,
    shard_map,
    tracking,
    tracking_outbox,
)
from sightline.core.device_usage import DeviceUsage
from sightline.core.params import resolved
from sightline.core.params.loader import Params, ParamsError, load_params
from sightline.core.plain_text import plain

POLL_S = 0.5  # how often a process looks whether its launcher still lives
GRACE_S = 3.0  # what a training loop gets to save its state once the launcher is gone
MOST_WORKERS = 8  # that read batches for one training process, where their number is left to us
LOST = (
    "another process of the training ended or cannot be reached; see what it printed, then start the same "
    "command again on every machine: the training goes on from the last state that was saved"
)
NOTICE_S = 5.0  # what a training loop gets to notice a signal before the process ends anyway


@dataclass(frozen=True)
class Runtime:
    """Where this process computes: torch device, rank among `world` processes, threads of each, and how many
    processes read batches for it. On how many disks the machines keep their checkouts, and whether this is
    the process that writes to one of them."""

    device: str
    rank: int
    world: int
    threads: int
    loader_workers: int = 0
    disks: int = 1
    first_on_disk: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this is the process that prints."""
        return self.rank == 0

    @property
    def writes(self) -> bool:
        """Whether this process writes files: the first one, and on machines without its disk one each."""
        return self.is_main or self.first_on_disk


class Stopped(SystemExit):
    """Ends a process that got a stop signal; the exit code is 143 (SIGTERM) or 130 (SIGINT)."""

    def __init__(self) -> None:
        super().__init__(128 + (_state.signal or signal.SIGTERM))


@dataclass
class _State:
    """State shared by signal handlers and the training loop; one per process."""

    stage: str = ""
    signal: int = 0  # the signal that asked for the stop, 0 for none
    polled: bool = False  # a loop polls stop_requested, so a signal may wait for it
    watched: bool = False
    accelerator: DeviceUsage | None = None  # what this process takes of it, once `start` gave it one
    other_ranks: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # their `_usage`, set by finish


_state = _State()


def start(threads: int, seed: int, loader_workers: int | Literal["auto"] = 0) -> Runtime:
    """Set up torch and, when torchrun started this process, the process group; returns where it computes.

    Deterministic algorithms throughout, `threads` threads per process (part of the result's bits).
    """
    watch_launcher()
    _handle_signals()
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # what cuBLAS needs to be deterministic
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # By default that also fills every fresh tensor; nothing here reads one before writing it, and the fill
    # took a sixth of a training step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set at import
    torch.manual_seed(seed)
    rank, world = _rank(), int(os.environ.get("WORLD_SIZE", "1"))
    local, local_world = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    device = _device(local, local_world, world)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        _state.accelerator = DeviceUsage.of_cuda(device)
    elif device == "mps":
        _state.accelerator = DeviceUsage.of_mps()
    if world > 1:
        if local_world == world:
            _stay_on_loopback()
        backend = "gloo" if device == "cpu" else "nccl"
        torch.distributed.init_process_group(backend, rank=rank, world_size=world)
    disks, first = 1, rank == 0
    if local_world != world:
        disks, first = disk_writers.first_on_disk(_scratch(), rank, local, device)
    if loader_workers == "auto":
        loader_workers = _spare_cores(local_world) if device != "cpu" else 0
    return Runtime(device, rank, world, threads, loader_workers, disks, first)


def _device(local: int, local_world: int, world: int) -> str:
    """A CUDA or ROCm device where there is one for each process of this machine; else Apple's (MPS) for a
    process alone, as PyTorch has no exchange between processes for it; else the CPU."""
    import torch

    if torch.cuda.is_available() and torch.cuda.device_count() >= local_world:
        return f"cuda:{local}"
    return "mps" if world == 1 and torch.backends.mps.is_available() else "cpu"


def _spare_cores(processes: int) -> int:
    """What of the cores is left beside the training processes, for each of them, at most MOST_WORKERS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, cores // processes - 1))


def training_precision(setting: str, device: str) -> str:
    """Return what a training computes in: for "auto" bf16 where the device multiplies in it, elsewhere fp32.
    PyTorch has no fast product in bf16 for a processor without AVX-512, as most laptops have."""
    if setting != "auto":
        return setting
    import torch

    if device == "cpu":
        return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"
    if device == "mps":
        return "fp32"  # whether a chip gains by bf16 is not known here
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def finish(runtime: Runtime) -> None:
    """Sum the cost over the ranks and close the process group."""
    if runtime.world > 1:
        import torch

        usage = torch.tensor(_usage(), dtype=torch.float64, device=runtime.device)
        total = usage.clone()
        torch.distributed.all_reduce(total)
        _state.other_ranks = tuple((total - usage).tolist())
        torch.distributed.destroy_process_group()


def stop_requested(runtime: Runtime) -> bool:
    """Return whether any rank got a stop signal; all ranks get the same answer at the same call.

    The loop that hears True saves its state and raises Stopped.
    """
    _state.polled = True
    if runtime.world > 1:
        import torch

        stop_signal = torch.tensor([_state.signal], device=runtime.device)
        torch.distributed.all_reduce(stop_signal, op=torch.distributed.ReduceOp.MAX)
        _state.signal = int(stop_signal.item())
    if _state.signal:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return bool(_state.signal)


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed that is a pure function of `seed` and the names."""
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def resume_dir(stage: str, fingerprint: str) -> Path:
    """Return the folder, outside DVC's outs, where a stage keeps what lets a killed run go on."""
    return _scratch() / stage / fingerprint[:16]


def features_dir() -> Path:
    """Return the folder, outside DVC's outs, where trainings keep what frozen parts make of pictures."""
    return _scratch() / "features"


def log(line: str) -> None:
    """Print one line of progress, on rank 0 only; a command's own output stays alone on stdout."""
    if is_main_rank():
        stream = sys.stdout if _state.stage else sys.stderr
        line = plain(line)  # it may name what a table or an archive holds
        print(f"{_state.stage}: {line}" if _state.stage else line, file=stream, flush=True)


def stage_name() -> str:
    """The stage that this process runs; empty outside of one."""
    return _state.stage


def is_main_rank() -> bool:
    """Whether this is the process of its group that prints."""
    return _rank() == 0


@contextmanager
def stage(name: str) -> Iterator[Params]:
    """Run a stage script: params and resolved.yaml are checked, dvc.lock is copied aside, the launcher is
    watched, costs are recorded, and a user error becomes one line.

    Exit codes: 2 for params.yaml, 1 for another user error (the traceback goes to
    `.resume/errors/<name>.txt`); an unexpected exception keeps its traceback.
    """
    _state.stage = name
    began = time.perf_counter()
    watch_launcher()
    _handle_signals()
    try:
        params = load_params()
        if name != "resolve":
            resolved.check(params, Path())
        if _rank() == 0:
            dvc_lock.keep(Path())
        tracking_outbox.check(params.tracking)
        shard_map.ENGINE.set(params.engine)
        with _recorded(name, params, began):
            yield params
    except ParamsError as error:
        _end(name, error, 2)
    except (ValueError, OSError, MemoryError) as error:
        _end(name, error, 1)
    except RuntimeError as error:
        told: OSError | MemoryError
        if _out_of_memory(error):
            told = MemoryError(_with_cures(name, params))
        elif _lost_another(error):
            told = ConnectionError(LOST)
        else:
            raise
        told.__cause__ = error
        _end(name, told, 1)
    if _rank() == 0:
        _record_cost(name, params.profile, time.perf_counter() - began)


@contextmanager
def _recorded(name: str, params: Params, began: float) -> Iterator[None]:
    """Record the stage for MLflow and TensorBoard, where `tracking` asks for them. It cannot fail a stage."""
    if _rank() or not tracking_outbox.NEEDS.keys() & set(params.tracking):
        yield
        return
    experiment, baseline = (os.environ.get(f"DVC_EXP_{what}", "") for what in ("NAME", "BASELINE_REV"))
    me = psutil.Process()
    launcher = [me, *launcher_watchdog.launchers(me.parents(), "DVC_STAGE" in os.environ)][-1]
    record = tracking_outbox.begin(
        _scratch().parent, name, params, tracking_outbox.Process.of(launcher), experiment, baseline
    )
    tracking.listeners.append(record.point)
    status, message = tracking_outbox.FINISHED, ""
    try:
        yield
    except Stopped:
        status = tracking_outbox.KILLED
        raise
    except BaseException as error:
        status, message = tracking_outbox.FAILED, f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise
    finally:
        tracking.listeners.remove(record.point)
        record.end(status, message, _cost(time.perf_counter() - began))
        if trouble := record.trouble():
            log(trouble)


def watch_launcher() -> None:
    """End this process, and its children, when DVC or torchrun above it dies, or has died while this one
    started: no orphan keeps writing.

    Started by hand, without either above it, a process is left alone.
    """
    if _state.watched:
        return
    _state.watched = True
    ancestors, in_dvc = psutil.Process().parents(), "DVC_STAGE" in os.environ
    if launcher_watchdog.orphaned(ancestors, in_dvc):
        os._exit(128 + signal.SIGTERM)
    watched = launcher_watchdog.launchers(ancestors, in_dvc)
    if watched:
        threading.Thread(target=_watch, args=(watched,), name="watchdog", daemon=True).start()


def _watch(launchers: list[psutil.Process]) -> None:
    while all(launcher_watchdog.alive(process) for process in launchers):
        time.sleep(POLL_S)
    _state.signal = _state.signal or signal.SIGTERM
    if _state.polled:
        time.sleep(GRACE_S)
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(128 + signal.SIGTERM)


def _handle_signals() -> None:
    """SIGTERM and SIGINT set the stop flag for a loop that polls it; without one they end the process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    signal.signal(signal.SIGALRM, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGALRM:
        raise Stopped
    # Ctrl-C reaches a rank twice, from the terminal and from torchrun: only the first one counts.
    first, _state.signal = not _state.signal, _state.signal or number
    if not _state.polled:
        raise Stopped
    if first:
        signal.setitimer(signal.ITIMER_REAL, NOTICE_S)


def _stay_on_loopback() -> None:
    """Let the ranks of one machine meet on loopback, so that no network or host name is needed."""
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _scratch() -> Path:
    return Path(os.environ.get("DVC_ROOT", ".")) / ".resume"


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch found no memory, on an accelerator or (a plain RuntimeError) on the CPU."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


def _lost_another(error: RuntimeError) -> bool:
    """Whether PyTorch could not reach another process: DistNetworkError and its like, or gloo's plain one."""
    return type(error).__name__.startswith("Dist") or "/gloo/" in str(error)


def _with_cures(name: str, params: Params) -> str:
    section = getattr(params, name, None)
    cures = {
        "batch_size": f"lower {name}.batch_size",
        "gradient_checkpointing": f"set {name}.gradient_checkpointing: true",
        "precision": f"set {name}.precision: bf16",
    }
    offered = [cure for leaf, cure in cures.items() if hasattr(section, leaf)]
    return "; ".join(["out of memory", " or ".join(offered) or "use a device with more"])


def _end(name: str, error: Exception, code: int) -> NoReturn:
    """Print one line for the user and exit; the traceback goes to a file."""
    message = " ".join(str(error).split()) or "out of memory"
    rank = f" [rank {_rank()}]" if _rank() else ""
    details = ""
    if code == 1:
        log = _scratch() / "errors" / f"{name}.txt"
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
            details = f" (traceback: {log})"
        except OSError as fault:
            details = f" (the traceback could not be written: {fault.strerror})"
    if code == 1 or not rank:
        print(f"{name}:{rank} error: {message}{details}", file=sys.stderr, flush=True)
    sys.exit(code)


def _usage() -> tuple[float, float, float, float]:
    """Return core-seconds (user and system) and peak resident MiB of this process and its children; then
    seconds and peak MiB of its accelerator, 0 without one."""
    both = machine.PROCESS, machine.CHILDREN
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, both))
    device = _state.accelerator
    on_device = (device.seconds(), device.peak_mib()) if device else (0.0, 0.0)
    return seconds, max(map(machine.peak_resident_mib, both)), *on_device


def _cost(wall_s: float) -> dict[str, float]:
    """Core-seconds, wall seconds and peak MiB of this stage so far, and seconds and peak MiB of accelerators
    (device_usage.py), over all ranks that `finish` counted."""
    ours = zip(_usage(), _state.other_ranks, strict=True)
    core_s, peak_mib, device_s, device_peak_mib = (mine + others for mine, others in ours)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        agent = psutil.Process().parent()
        times = agent.cpu_times() if agent else None
        core_s += times.user + times.system if times else 0.0
    return {
        "core_seconds": round(core_s, 2), "wall_seconds": round(wall_s, 2), "peak_mib": round(peak_mib),
        "device_seconds": round(device_s, 2), "device_peak_mib": round(device_peak_mib),
    }  # fmt: skip


def _record_cost(name: str, profile: str, wall_s: float) -> None:
    """Merge this stage's cost into .resume/cost/<profile>.json; a failure is printed, not fatal."""
    path, row = _scratch() / "cost" / f"{profile}.json", _cost(wall_s)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            costs: dict[str, Any] = artifacts.read_json(path) if path.exists() else {}
            artifacts.write_json(path, costs | {name: row})
    except (OSError, ValueError) as error:
        log(f"the cost of this stage was not recorded: {error}")
