"""The command that starts a training stage, as the parameter `launch` says."""

import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

CPU_PROCESSES = (
    2  # two processes of one thread train faster than one of two threads, and share two cores well
)
WITHIN_SLURM = "--within-slurm"
APPLE = ("darwin", "arm64")
NVIDIA, AMD = Path("/dev/nvidiactl"), Path("/dev/kfd")  # there where the driver is loaded


def command(launch: list[str], script: str, batch_sizes: list[int]) -> list[str]:
    """The words of the command that runs `script`, for os.execvp.

    launch: the parameter's words: `auto` (a process for each accelerator, else CPU_PROCESSES of them), or a
    command of one's own.
    batch_sizes: of the training stages. `auto` starts no more processes than can share each equally.
    """
    if launch != ["auto"]:
        return _given(launch, script)
    world = processes("auto", batch_sizes)
    if world == 1:
        return [sys.executable, script]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
    return [sys.executable, *torchrun, script]


def shared_equally(processes: int, batch_sizes: list[int]) -> int:
    """The most processes, at most as many as given, that divide every batch."""
    common = math.gcd(*batch_sizes)
    return next(count for count in range(processes, 0, -1) if common % count == 0)


def processes(launch: str, batch_sizes: list[int]) -> int:
    """How many processes train on this machine."""
    if launch == "auto":
        return shared_equally(accelerators() or CPU_PROCESSES, batch_sizes)
    return processes_named(launch)


def processes_named(launch: str) -> int:
    """How many processes a command of one's own starts on a machine; 1 where it does not say."""
    named = _numbers(launch, r"nproc[-_]per[-_]node|num[-_]processes|ntasks(?:-per-node)?")
    return named[-1] if named else 1  # where srun starts torchrun, the last one is torchrun's


def world_named(launch: str) -> int:
    """How many processes a command of one's own starts on all machines together, as far as it says."""
    nodes = _numbers(launch, "n?nodes") if _numbers(launch, r"nproc[-_]per[-_]node|ntasks-per-node") else []
    return processes_named(launch) * (nodes[-1] if nodes else 1)


def _numbers(launch: str, option: str) -> list[int]:
    """The values of an option that are one number (`--nnodes 1:4` leaves it open)."""
    return [int(number) for number in re.findall(rf"--(?:{option})[= ](\d+)(?![\d:])", launch)]


def accelerators() -> int:
    """How many CUDA or ROCm devices PyTorch may use here; 1 for Apple's (MPS). Without a driver PyTorch is
    not imported."""
    if not (NVIDIA.exists() or AMD.exists() or APPLE == (sys.platform, platform.machine())):
        return 0
    import torch

    return torch.cuda.device_count() or int(torch.backends.mps.is_available())


def _given(words: list[str], script: str) -> list[str]:
    programs = {Path(word).name for word in words}
    if words[0] == "python":
        words = [sys.executable, *words[1:]]  # the one that runs this, whatever PATH says
    if "srun" in programs and not {"torchrun", "torch.distributed.run", "accelerate"} & programs:
        if not any(re.fullmatch(r"python[\d.]*", program) for program in programs):
            words = [*words, sys.executable]
        words = [*words, sys.argv[0], WITHIN_SLURM]
    return [*words, script]


def slurm_ranks(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that torch.distributed reads, of a task that Slurm's `srun` started.

    The first task's machine is the meeting point; the port follows from the job and step, so that steps on
    one machine do not meet. Raises ValueError outside of a Slurm step.
    """
    try:
        rank, world, local = (environment[f"SLURM_{name}"] for name in ("PROCID", "NTASKS", "LOCALID"))
        node, per_node = int(environment["SLURM_NODEID"]), environment["SLURM_STEP_TASKS_PER_NODE"]
        nodes, job = environment["SLURM_STEP_NODELIST"], int(environment["SLURM_JOB_ID"])
        step = int(environment["SLURM_STEP_ID"])
    except KeyError as missing:
        raise ValueError(
            f"launch: srun set no {missing.args[0]}; start training stages by Slurm's srun"
        ) from None
    listed = subprocess.run(
        ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True
    )
    return {
        "RANK": rank,
        "WORLD_SIZE": world,
        "LOCAL_RANK": local,
        "LOCAL_WORLD_SIZE": str(tasks_per_node(per_node)[node]),
        "MASTER_ADDR": listed.stdout.split()[0],
        "MASTER_PORT": str(20000 + (job * 31 + step) % 20000),
    }


def tasks_per_node(text: str) -> list[int]:
    """Slurm's short form, written out: "2(x3),1" is [2, 2, 2, 1]."""
    counts = []
    for part in text.split(","):
        count, _, times = part.rstrip(")").partition("(x")
        counts += [int(count)] * int(times or 1)
    return counts


def replace_process(arguments: list[str], batch_sizes: list[int]) -> NoReturn:
    """Become the command that runs a script: it gets the signals, and DVC waits for it. arguments: the words
    of the parameter `launch`, then the script.

    Raises ValueError where the command's program is not there.
    """
    *launch, script = arguments
    if launch == [WITHIN_SLURM]:
        words, environment = [sys.executable, script], os.environ | slurm_ranks(os.environ)
    else:
        words, environment = command(launch, script, batch_sizes), dict(os.environ)
    try:
        os.execvpe(words[0], words, environment)
    except FileNotFoundError:
        raise ValueError(
            f"launch: no program {words[0]!r}; install it, give its whole path, or set `launch: auto`"
        ) from None
