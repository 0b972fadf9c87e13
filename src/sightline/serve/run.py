"""Starts the server, and stops it so that nobody inside is cut off."""

import logging
import socket
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from sightline.serve.settings import Limits
from sightline.serve.shield import is_loopback

MIN_KEY = 16  # characters
BACKLOG = 256  # connections that the system holds until they are taken


class ServeError(ValueError):
    """A server that would not be safe to start, or cannot."""


class Server(uvicorn.Server):
    """At the first signal it says 503 to newcomers and /ready, and ends once the last request inside is
    answered or `drain_s` are over; the second signal ends it at once."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, limits: Limits) -> None:
        super().__init__(config)
        self._shield, self._drain_s, self._end = app.state.shield, limits.drain_s, float("inf")

    def handle_exit(self, sig: int, frame: object) -> None:
        if self._shield.draining:
            self.force_exit = self.should_exit = True
        self._shield.draining = True
        self._end = min(self._end, time.monotonic() + self._drain_s)

    async def on_tick(self, counter: int) -> bool:
        over = time.monotonic() > self._end
        if self._shield.draining and (over or not self._shield.inside):
            self.should_exit = True
        return await super().on_tick(counter)


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
    access = logging.getLogger("sightline.access")
    if not access.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        access.addHandler(handler)
        access.setLevel(logging.INFO)
    config = uvicorn.Config(
        app, host=host, port=port, access_log=False, log_level="warning", server_header=False,
        timeout_keep_alive=15, timeout_graceful_shutdown=1, backlog=BACKLOG, ws="none", proxy_headers=False,
    )  # fmt: skip
    Server(config, app, limits).run(sockets=[listening])
