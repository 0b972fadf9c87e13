"""Starts the server, and stops it so that nobody inside is cut off."""

import gc
import logging
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from sightline.serve.connections import Connection, Connections
from sightline.serve.deploy.deployment import Deployment, LogSettings
from sightline.serve.deploy.environments import variable
from sightline.serve.log_writer import TEXT, JsonLines, LogWriter, Printed, json_line
from sightline.serve.middleware import is_loopback

MIN_KEY = 16  # characters
NAMED = re.compile(r"(?:export\s+)?[A-Za-z_]\w*\s*=\s*(?P<value>.*)", re.ASCII)
MAKE_ONE = "make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
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
        self._connections = Connections(limits, self._middleware.metrics, self._middleware.proxies)
        protocol: Any = partial(Connection, self._connections)  # uvicorn only calls what it takes for a class
        config = uvicorn.Config(
            app, http=protocol, access_log=False, log_config=None, log_level="warning", server_header=False,
            timeout_keep_alive=limits.idle_s, timeout_graceful_shutdown=1, backlog=limits.backlog, ws="none",
            proxy_headers=bool(self._middleware.proxies), forwarded_allow_ips=[*self._middleware.proxies],
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
    if not path.is_file():
        raise ServeError(f"{path}: expected a file with API keys, one a line, and there is none")
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
        raise ServeError(f"{path}: holds no API key; {MAKE_ONE}")
    return keys


def check(deployment: Deployment, keys: list[str]) -> None:
    """Refuse to serve without a key where that would not be safe, or not as the environment says."""
    if keys:
        return
    cure = f"give --keys FILE, or {variable('keys')}=FILE, with an API key a line"
    origin = deployment.origin
    if deployment.needs_keys:
        raise ServeError(f"{origin['needs_keys']}: needs_keys: this server asks for keys: {cure}; {MAKE_ONE}")
    if not is_loopback(deployment.host):
        host = f"{origin['host']}: host: {deployment.host}"
        raise ServeError(f"{host} serves other machines: {cure}; {MAKE_ONE}; or use 127.0.0.1")
    if deployment.origins:
        raise ServeError(f"{origin['origins']}: origins: pages of other sites need a key: {cure}; {MAKE_ONE}")


def serve(app: FastAPI, deployment: Deployment) -> None:
    """Serve until a signal says stop. Raises ServeError for an address that cannot be had."""
    host, port = deployment.host, deployment.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=deployment.limits.backlog)
    except OSError as error:
        raise ServeError(
            f"cannot listen on {host}, port {port} ({error.strerror}): try another --port"
        ) from error
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    gc.freeze()  # models and modules stay: to look through them again and again costs what answers could
    with _logging(deployment.log, app.state.middleware.metrics.log_dropped.inc):
        Server(app).run(sockets=[listening])


@contextmanager
def _logging(settings: LogSettings, dropped: Callable[[], None]) -> Iterator[None]:
    """The log on stderr, and in it all that is printed meanwhile, by any package: a full pipe must not hold
    the event loop up."""
    as_json, level = settings.format == "json", settings.level.upper()
    line: Callable[[str], str] = json_line if as_json else str
    with LogWriter(sys.stderr.fileno(), dropped, settings.held_bytes, line) as writer:
        handler = logging.StreamHandler(writer)
        handler.setFormatter(JsonLines() if as_json else logging.Formatter(TEXT))
        handler.setLevel(level)
        logging.basicConfig(handlers=[handler])
        logging.getLogger("sightline.access").setLevel(level)
        printed = Printed() if as_json else writer
        with redirect_stderr(printed), redirect_stdout(printed):
            yield
