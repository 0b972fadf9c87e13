"""`sightline serve` in a process of its own, as its users start it, and single requests for it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline_lab.faults.battery import Broken

START_S, STOP_S, TIMEOUT_S = 120, 30, 60


@contextmanager
def serving(bundle: Path, log: Path, *options: str, tmp: Path, ready: str = "/ready") -> Iterator[int]:
    """The port of the server, once the path `ready` answers 200. `log`: the file of its output, in its
    working folder; `tmp`: its folder of temporary files. Raises Broken where it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-c", "from sightline.cli.main import main; main()", "serve",
        "--bundle", str(bundle), "--port", str(port), *options,
    ]  # fmt: skip
    env = os.environ | {"TMPDIR": str(tmp), "OMP_NUM_THREADS": "1"}
    with open(log, "wb") as output:
        server = subprocess.Popen(command, cwd=log.parent, env=env, stdout=output, stderr=output)
        try:
            _wait(server, port, ready)
            yield port
        finally:
            server.terminate()
            server.wait(STOP_S)


def _wait(server: subprocess.Popen, port: int, ready: str) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            if call(port, "GET", ready, None, {})[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise Broken("the server did not start")


def call(port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body of an answer; of a stream of events, which need not end, no body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        endless = response.getheader("Content-Type", "").startswith("text/event-stream")
        return response.status, b"" if endless else response.read()
    finally:
        connection.close()
