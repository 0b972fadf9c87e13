"""Pictures from elsewhere, decoded in worker processes that are killed when one costs too much.

A small file of allowed size may take minutes and gigabytes to decode, and no thread inside a decoder can be
stopped. So a picture with too much beside its pixels is refused before it is decoded (`image_headers`), and
each has a budget. The kernel ends a worker that exceeds it; the worker is replaced and the picture refused. A
worker is a new interpreter with Pillow and NumPy alone. It goes on from picture to picture, and ends when its
parent does, however that was: the connection to it is closed.

Y, X: rows and columns of a picture.
"""

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from sightline.data import image_headers, images
from sightline.data.images import ImageError

WORKERS = 2
# The budget of a picture of up to BUDGET_PIXELS; of a larger one in proportion, so 0.12 s and 30 MiB for each
# megapixel. Whole pictures of 13 and 50 megapixels took at most 0.06 s and 19 MiB for each.
CPU_S, MEMORY, BUDGET_PIXELS = 1.0, 256 << 20, 1 << 23
BUDGET = (
    f"{CPU_S:g} s of CPU time and {MEMORY >> 20} MiB, above {BUDGET_PIXELS >> 20} megapixels in proportion"
)
WALL_S = 30.0  # where the machine is too busy to give a worker its CPU time
START_S = 60.0
POLL_S = 0.05
MAX_HEAD = 1 << 16  # bytes of an answer without its picture
OUT_OF_MEMORY = 3  # exit status of a worker


Answer = tuple[Any, bytes]  # (rows and columns, pixels) or (extension, encoded picture)


class _Died(Exception):
    """A worker died of a picture. `reason`: of the refusal; the message: a sentence without its subject."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ImageWorkers:
    """A few workers (`count`), started when they are needed. Several threads may use them. Use it as a
    context manager, or call `close`."""

    def __init__(self, count: int = WORKERS) -> None:
        self._places = threading.BoundedSemaphore(count)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._running: set[_Worker] = set()
        self._closed = False

    def __enter__(self) -> "ImageWorkers":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def decode(self, data: bytes, max_pixels: int, name: str = "") -> np.ndarray:
        """`images.decode` in a worker. Raises ImageError as that does, and with the reason `too_dear`."""
        request = {"name": name, "max_pixels": max_pixels}
        (answer,) = self._ask([request], [data], 3 * max_pixels)
        if isinstance(answer, ImageError):
            raise answer
        (height, width), pixels = answer
        if len(pixels) != height * width * 3:
            raise ImageError(
                "broken", f"{images.label(name)}: {len(pixels)} bytes for {height} x {width} pixels"
            )
        return np.frombuffer(bytearray(pixels), np.uint8).reshape(height, width, 3)

    def prepare(
        self, pictures: Sequence[tuple[bytes, str]], max_pixels: int, side: int
    ) -> list[tuple[bytes, str] | ImageError]:
        """`images.prepare` of some pictures (bytes, name) in a worker: of each what that returns, or the
        refusal. To wait once for several costs less than for each of them."""
        requests = [{"name": name, "max_pixels": max_pixels, "side": side} for _, name in pictures]
        datas = [data for data, _ in pictures]
        answers = self._ask(requests, datas, max(map(len, datas), default=0) + 4 * side * side)
        return [answer if isinstance(answer, ImageError) else (answer[1], answer[0]) for answer in answers]

    def close(self) -> None:
        """End all workers at once, those at work too: what waits for one gets a RuntimeError."""
        with self._lock:
            self._closed = True
            for worker in self._running:
                worker.process.kill()
            for worker in self._idle:
                worker.end()
            self._running -= set(self._idle)
            self._idle = []

    def _ask(
        self, requests: list[dict[str, Any]], datas: list[bytes], limit: int
    ) -> list[Answer | ImageError]:
        """What a worker says of each picture, with at most `limit` bytes. Where it dies of one, another
        goes on with the next."""
        found: list[Answer | ImageError] = []
        while len(found) < len(requests):
            try:
                with self._worker() as worker:
                    worker.send(requests[len(found) :], datas[len(found) :])
                    while len(found) < len(requests):
                        found.append(worker.answer(requests[len(found)], limit))
            except _Died as died:
                label = images.label(requests[len(found)]["name"])
                found.append(ImageError(died.reason, f"{label} {died}"))
        return found

    @contextmanager
    def _worker(self) -> Iterator["_Worker"]:
        """One that nobody else uses; it ends with an exception inside."""
        with self._places:
            worker = self._taken() or self._started()
            try:
                yield worker
            except BaseException as error:
                worker.end()
                with self._lock:
                    self._running.discard(worker)
                    if self._closed:
                        raise RuntimeError("the workers that decode pictures were closed") from error
                raise
            with self._lock:
                if not self._closed:
                    self._idle.append(worker)
                    return
            worker.end()

    def _taken(self) -> "_Worker | None":
        with self._lock:
            if self._closed:
                raise RuntimeError("the workers that decode pictures were closed")
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.end()
                self._running.discard(worker)
        return None

    def _started(self) -> "_Worker":
        worker = _Worker()
        with self._lock:
            self._running.add(worker)
            if self._closed:
                worker.process.kill()
        return worker


class _Worker:
    """A worker as its parent sees it."""

    def __init__(self) -> None:
        """Raises RuntimeError where it does not start."""
        self._killed, self._sent = "", 0
        self._connection, theirs = multiprocessing.Pipe()
        with theirs:
            # -P: no module of the current folder; a session of its own: Ctrl-C is for the parent, which may
            # still answer who waits. No fork: threads of the parent may hold locks that it would inherit.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                start_new_session=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        try:
            if not self._connection.poll(START_S):
                raise EOFError
            self._connection.recv_bytes(MAX_HEAD)
            self._measured = psutil.Process(self.process.pid)
            self._resident = self._measured.memory_info().rss
        except (EOFError, OSError, psutil.Error):
            self.end()
            raise RuntimeError(
                f"the process that decodes pictures did not start (exit status {self.process.returncode}); "
                "its own message is above; `sightline doctor` tells what is missing"
            ) from None

    def send(self, requests: list[dict[str, Any]], datas: list[bytes]) -> None:
        """Give it pictures; one answer for each must be read. Raises _Died."""
        sizes = [len(data) for data in datas]
        head = json.dumps([request | {"bytes": size} for request, size in zip(requests, sizes, strict=True)])
        self._sent = sum(sizes)
        try:
            self._connection.send_bytes(b"\n".join([head.encode(), b"".join(datas)]))
        except OSError:
            raise self._death() from None

    def answer(self, request: dict[str, Any], limit: int) -> "Answer | ImageError":
        """What it says of the next picture. Raises _Died where it died of that."""
        begun, share = time.monotonic(), _share(request["max_pixels"])
        memory, wall_s = self._resident + 2 * self._sent + int(MEMORY * share), WALL_S * share
        try:
            while not self._connection.poll(POLL_S):
                if time.monotonic() - begun > wall_s:
                    self._killed = f"was not decoded within {wall_s:.0f} s: this machine is too busy"
                elif self._measured.memory_info().rss > memory:  # where the kernel has no such limit (macOS)
                    self._killed = f"takes more memory to decode than its size allows ({BUDGET})"
                if self._killed:
                    self.process.kill()
                    break
            head, _, body = self._connection.recv_bytes(limit + MAX_HEAD).partition(b"\n")
        except (EOFError, OSError):
            raise self._death() from None
        answer = json.loads(head)
        if "reason" in answer:
            return ImageError(answer["reason"], answer["message"])
        return answer["form"], body

    def _death(self) -> "_Died":
        status = self.process.wait()
        if self._killed:
            return _Died("too_dear", self._killed)
        if status == -signal.SIGPROF:
            return _Died("too_dear", f"takes more time to decode than its size allows ({BUDGET})")
        if status in (OUT_OF_MEMORY, -signal.SIGKILL):
            return _Died("too_dear", f"takes more memory to decode than its size allows ({BUDGET})")
        return _Died("broken", f"cannot be decoded: its decoder ended with status {status}")

    def end(self) -> None:
        self._connection.close()
        self.process.kill()
        self.process.wait()


def _share(pixels: int) -> float:
    """How many budgets a picture has."""
    return max(1.0, pixels / BUDGET_PIXELS)


def main(handle: int) -> None:
    """A worker: one picture after the other from a connection with this handle, until the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # it ends with its parent, which may still answer requests
        signal.signal(number, signal.SIG_IGN)
    connection, own = Connection(handle), _virtual_bytes()
    connection.send_bytes(b"ready")
    while True:
        try:
            head, _, body = connection.recv_bytes().partition(b"\n")
        except (EOFError, ConnectionError):
            return
        start, memory = 0, own + len(body)
        for request in json.loads(head):
            data = body[start : start + request["bytes"]]
            start += request["bytes"]
            try:
                connection.send_bytes(b"\n".join(_answer(request, data, memory + len(data))))
            except ConnectionError:
                return


def _answer(request: dict[str, Any], data: bytes, own: int) -> tuple[bytes, bytes | memoryview]:
    """A line of JSON and what belongs to it. own: bytes of address space without what decoding takes."""

    def sized(pixels: int) -> None:
        if (share := _share(pixels)) > 1:
            left_s, _ = signal.getitimer(signal.ITIMER_PROF)
            signal.setitimer(signal.ITIMER_PROF, left_s + CPU_S * (share - 1))
            _limit_memory(own + int(MEMORY * share))

    max_pixels, name = request["max_pixels"], request["name"]
    # The timer of CPU time ends the process by SIGPROF, whatever C code it is in.
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    _limit_memory(own + MEMORY)
    answer: dict[str, Any]
    body: bytes | memoryview
    try:
        if found := image_headers.excess(data):
            raise ImageError("too_dear", f"{images.label(name)} {found}: save it again without them")
        if "side" in request:
            body, extension = images.prepare(data, max_pixels, request["side"], name, sized)
            answer = {"form": extension}
        else:
            rgb = images.decode(data, max_pixels, name, sized)
            answer, body = {"form": rgb.shape[:2]}, rgb.data
    except ImageError as error:
        answer, body = {"reason": error.reason, "message": str(error)}, b""
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return json.dumps(answer).encode(), body


def _virtual_bytes() -> int:
    """Address space of this process, where the kernel can limit it: on Linux."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _limit_memory(size: int) -> None:
    if sys.platform == "linux":
        _, most = resource.getrlimit(resource.RLIMIT_AS)  # that others set for this process
        resource.setrlimit(resource.RLIMIT_AS, (size if most < 0 else min(size, most), most))


if __name__ == "__main__":
    main(int(sys.argv[1]))
