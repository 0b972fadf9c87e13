"""Starts the server, and stops it so that nobody inside is cut off."""

import gc
import logging
import socket
import sys
import time
from contextlib import suppress
from logging.handlers import BufferingHandler
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from sightline.serve.limits import Limits
from sightline.serve.middleware import is_loopback

MIN_KEY = 16  # characters
BACKLOG = 256  # connections that the system holds until they are taken
LINES = 10_000  # log lines that are held at most before they are written
SWITCH_S = 0.0005  # what another thread may keep Python to itself while the event loop waits
YOUNG = 20_000  # new objects before Python looks for cycles among them: a request leaves none


class ServeError(ValueError):
    """A server that would not be safe to start, or cannot."""


class Server(uvicorn.Server):
    """At the first signal it says 503 to newcomers and /ready, and ends once the last request inside is
    answered or `drain_s` are over; the second signal ends it at once."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, limits: Limits, lines: "Lines") -> None:
        super().__init__(config)
        self._lines = lines
        self._middleware, self._drain_s, self._end = app.state.middleware, limits.drain_s, float("inf")

    def handle_exit(self, sig: int, frame: object) -> None:
        if self._middleware.draining:
            self.force_exit = self.should_exit = True
        self._middleware.draining = True
        self._end = min(self._end, time.monotonic() + self._drain_s)

    async def on_tick(self, counter: int) -> bool:
        over = time.monotonic() > self._end
        if self._middleware.draining and (over or not self._middleware.inside):
            self.should_exit = True
        self._lines.flush()
        return await super().on_tick(counter)


class Lines(BufferingHandler):
    """Lines of the log, written in one go at every tick of the server, ten times a second, and at its end: a
    write for each request would hold the event loop up for as long as other threads compute."""

    def __init__(self) -> None:
        super().__init__(LINES)
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def flush(self) -> None:
        assert self.lock is not None  # logging.Handler makes it
        with self.lock:
            text = "".join(f"{self.format(record)}\n" for record in self.buffer)
            self.buffer.clear()
        with suppress(OSError, ValueError):  # where nobody reads the log, the server goes on
            sys.stderr.write(text)
            sys.stderr.flush()


def read_keys(path: Path) -> list[str]:
    """API keys from an environment file: one a line, bare or as NAME=key; # begins a comment line."""
    keys = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not (line := line.strip()) or line.startswith("#"):
            continue
        key = line.partition("=")[2] if line.split("=")[0].isidentifier() and "=" in line else line
        key = key.strip("\"'")
        if len(key) < MIN_KEY or not key.isascii() or " " in key:
            raise ServeError(f"{path}, line {number}: expected a key of {MIN_KEY} or more ASCII characters")
        keys.append(key)
    if not keys:
        raise ServeError(f"{path}: holds no API key; make one: python -c 'import secrets; "
                         "print(secrets.token_urlsafe(32))'")  # fmt: skip
    return keys


def check(host: str, keys: list[str]) -> None:
    """Refuse to serve the network without a key."""
    if not keys and not is_loopback(host):
        raise ServeError(
            f"--host {host} serves other machines: give --keys FILE with an API key, or use 127.0.0.1"
        )


def serve(app: FastAPI, host: str, port: int, limits: Limits) -> None:
    """Serve until a signal says stop. Raises ServeError for an address that cannot be had."""
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        raise ServeError(
            f"cannot listen on {host}, port {port} ({error.strerror}): try another --port"
        ) from error
    access, lines = logging.getLogger("sightline.access"), Lines()
    access.addHandler(lines)
    access.setLevel(logging.INFO)
    config = uvicorn.Config(
        app, host=host, port=port, access_log=False, log_level="warning", server_header=False,
        timeout_keep_alive=15, timeout_graceful_shutdown=1, backlog=BACKLOG, ws="none", proxy_headers=False,
    )  # fmt: skip
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    gc.freeze()  # models and modules stay: to look through them again and again costs what answers could
    try:
        Server(config, app, limits, lines).run(sockets=[listening])
    finally:
        access.removeHandler(lines)
