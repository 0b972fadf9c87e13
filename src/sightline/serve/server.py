"""Starts the server, and stops it so that nobody inside is cut off."""

import gc
import logging
import re
import socket
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from sightline.serve.connections import Connection, Connections
from sightline.serve.log_writer import LogWriter
from sightline.serve.middleware import is_loopback

MIN_KEY = 16  # characters
NAMED = re.compile(r"(?:export\s+)?[A-Za-z_]\w*\s*=\s*(?P<value>.*)", re.ASCII)
BACKLOG = 256  # connections that the system holds until they are taken
SWITCH_S = 0.0005  # what another thread may keep Python to itself while the event loop waits
YOUNG = 20_000  # new objects before Python looks for cycles among them: a request leaves none


class ServeError(ValueError):
    """A server that would not be safe to start, or cannot."""


class Server(uvicorn.Server):
    """A server of an application that `api.create_app` made. At the first signal it says 503 to newcomers,
    to requests that are not whole and to /ready, and ends once the last request inside is answered and the
    answers are read, or `drain_s` are over; the second signal ends it at once."""

    def __init__(self, app: FastAPI) -> None:
        self._middleware, self._end = app.state.middleware, float("inf")
        limits = self._middleware.limits
        self._drain_s = limits.drain_s
        self._connections = Connections(limits, self._middleware.metrics)
        protocol: Any = partial(Connection, self._connections)  # uvicorn only calls what it takes for a class
        config = uvicorn.Config(
            app, http=protocol, access_log=False, log_config=None, log_level="warning", server_header=False,
            timeout_keep_alive=limits.idle_s, timeout_graceful_shutdown=1, backlog=BACKLOG, ws="none",
            proxy_headers=False,
        )  # fmt: skip
        super().__init__(config)

    def handle_exit(self, sig: int, frame: object) -> None:
        if self._middleware.draining:
            self.force_exit = self.should_exit = True
        self._middleware.draining = True
        self._end = min(self._end, time.monotonic() + self._drain_s)

    async def on_tick(self, counter: int) -> bool:
        self._connections.sweep()
        if self._middleware.draining:
            self._middleware.stop_reading()
            over = time.monotonic() > self._end
            if over or not (self._middleware.inside or self._connections.unsent):
                self.should_exit = True
        return await super().on_tick(counter)


def read_keys(path: Path) -> list[str]:
    """API keys from an environment file: one a line, bare or as NAME=key; # begins a comment line."""
    keys = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not (line := line.strip()) or line.startswith("#"):
            continue
        named = NAMED.fullmatch(line)
        # `=` also ends a key in base64; a name without a value is all in capitals.
        padded = named is not None and not named["value"].strip("=") and not line.isupper()
        key = (line if named is None or padded else named["value"]).strip("\"'")
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


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until a signal says stop. Raises ServeError for an address that cannot be had."""
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        raise ServeError(
            f"cannot listen on {host}, port {port} ({error.strerror}): try another --port"
        ) from error
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    gc.freeze()  # models and modules stay: to look through them again and again costs what answers could
    # All that is printed meanwhile, by any package: a full pipe must not hold the event loop up.
    with (
        LogWriter(sys.stderr.fileno(), app.state.middleware.metrics.log_dropped.inc) as writer,
        redirect_stderr(writer),
        redirect_stdout(writer),
    ):
        logging.basicConfig(stream=writer, format="%(asctime)s %(message)s")
        logging.getLogger("sightline.access").setLevel(logging.INFO)
        Server(app).run(sockets=[listening])
