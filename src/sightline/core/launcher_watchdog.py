"""The processes that launched this one, and whether they are alive."""

from pathlib import Path

import psutil

SHELLS = ("sh", "bash", "dash", "zsh")
INITS = ("init", "systemd", "launchd", "tini", "dumb-init", "docker-init")  # they adopt orphans


def launchers(ancestors: list[psutil.Process], in_dvc: bool) -> list[psutil.Process]:
    """Return the ancestors, nearest first, up to DVC, else up to torchrun; none when neither is there.

    `in_dvc`: DVC runs this stage, whatever its process is called.
    """
    commands = [_command(process) for process in ancestors]
    for is_launcher in (_is_dvc, _is_torchrun):
        for depth, command in enumerate(commands):
            if is_launcher(command):
                return ancestors[: depth + 1]
    # DVC used as a library has no process name of its own: it is the parent, or the shell's parent.
    shell = bool(commands) and _program(commands[0]) in SHELLS
    return ancestors[: 1 + shell] if in_dvc else []


def orphaned(ancestors: list[psutil.Process], in_dvc: bool) -> bool:
    """Whether DVC, which started this stage, had died before the stage could look: nothing but shells and
    torchrun are then between it and the process that adopts orphans."""
    for process in ancestors if in_dvc else []:
        command = _command(process)
        if _program(command) in INITS or (process.pid == 1 and not _program(command).startswith("python")):
            return True
        if not _is_torchrun(command) and _program(command) not in (*SHELLS, "env"):
            return False
    return False


def _program(command: list[str]) -> str:
    return Path(command[0]).name if command else ""


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # gone or another user's: not our launcher


def _is_dvc(command: list[str]) -> bool:
    return any(Path(part).name == "dvc" for part in command[:3])


def _is_torchrun(command: list[str]) -> bool:
    programs = ("torch.distributed.run", "torchrun", "accelerate")
    return any(Path(part).name in programs for part in command[:4])


def alive(process: psutil.Process) -> bool:
    """Return whether this very process (not another with its number) runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
