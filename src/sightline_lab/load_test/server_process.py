"""Processes that are measured: started on a core of their own, waited for, read and ended."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

START_S = 300.0  # most of it for a machine that is busy with other things
STOP_S = 30.0


class LoadError(ValueError):
    """A measurement that cannot be made."""


def cores() -> tuple[int | None, int | None]:
    """(of the server, of the client); None where the system pins nothing or this process has one core."""
    if not hasattr(os, "sched_setaffinity") or len(usable := sorted(os.sched_getaffinity(0))) < 2:
        return None, None
    return usable[0], usable[1]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """This process, and what it starts meanwhile, on one core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def process(command: Sequence[str | Path], core: int | None, **more) -> Iterator[subprocess.Popen]:
    """A Python process of ours on one core, one thread of arithmetic; ended as its user would end it."""
    with pinned(core):
        child = subprocess.Popen(
            [sys.executable, *command], env=os.environ | {"OMP_NUM_THREADS": "1"}, **more
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def server(
    command: Sequence[str | Path], core: int | None, ready: str, port: int | None = None
) -> Iterator[tuple[str, int]]:
    """(address, process id) of a server that takes --port and whose path `ready` answers 200 once it serves;
    without a `port` on a free one.

    Raises LoadError with the last line of its output where it does not start."""
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile("w+") as log:
        with process([*command, "--port", str(port)], core, stdout=log, stderr=log) as child:
            end = time.monotonic() + START_S
            while not _answers(address + ready):
                if child.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    last = (log.read().strip().splitlines() or ["nothing"])[-1]
                    raise LoadError(f"{' '.join(map(str, command))} does not serve; it said: {last}")
                time.sleep(0.05)
            yield address, child.pid


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=START_S) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used."""
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


class Memory:
    """Resident memory of a process: what it grows by at most from here on."""

    def __init__(self, pid: int) -> None:
        self._status, self._begun = Path(f"/proc/{pid}/status"), psutil.Process(pid).memory_info().rss
        try:  # forget the largest so far, which was that of loading
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        except OSError as error:
            raise LoadError("the largest memory of a process can be read on Linux only") from error

    @property
    def grown(self) -> int:
        """Bytes of the largest since then above those at the beginning."""
        lines = self._status.read_text(encoding="ascii").splitlines()
        largest = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
        return largest - self._begun
