"""Row 15: SIGTERM at any moment, with clients at work."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

import psutil

from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.served_bundle import Served, request

CLIENTS, REQUESTS = 12, 24
LATEST_S = 1.5  # after the first answers
END_S = 60.0  # until a server counts as hung
QUEUE = 8  # places: some clients are told that the server is full
# In every other case an answer takes longer than uvicorn gives a server for its end that waits for nobody
# (`timeout_graceful_shutdown`), so that it loses what is inside; with fewer places, to end in time.
SLOW_S, FEW = 1.2, 3
WHOLE = (200, 429, 503)


class Client(threading.Thread):
    """Asks over one connection after the other until nobody listens. kept: (when a request was sent over a
    connection that had an answer before, what came); seen: how often what came."""

    def __init__(self, address: str, requests: list[bytes], started: threading.Barrier) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(address)
        self._peer, self._requests, self._begun = (parts.hostname, parts.port), requests, started
        self.kept: list[tuple[float, str]] = []
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        number, waited = 0, False
        while True:
            try:
                link = socket.create_connection(self._peer, END_S)
            except OSError:
                return
            with link, link.makefile("rb") as answers:
                before = False
                while True:
                    try:
                        link.sendall(self._requests[number % len(self._requests)])
                        sent, came = time.monotonic(), _came(answers)
                    except OSError:  # closed before all of the request was out
                        break
                    number += 1
                    self.seen[came] += 1
                    if before:
                        self.kept.append((sent, came))
                    if not waited:
                        waited = True
                        self._begun.wait(END_S)
                    if came in ("nothing", "half") or came.endswith("closing"):
                        break
                    before = True


def _came(answers) -> str:
    """The status of an answer that came whole, "nothing", or "half" of one."""
    got = b""
    try:
        while not got.endswith(b"\r\n\r\n"):
            if not (line := answers.readline()):
                return "half" if got else "nothing"
            got += line
        head = got.lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        body = answers.read(length)
    except OSError:
        return "half" if got else "nothing"
    if len(body) < length:
        return "half"
    closing = " closing" if b"connection: close" in head else ""
    return f"{int(got.split()[1])}{closing}"


def case(case: Case) -> int:
    """One server, stopped at a random moment."""
    rng = case.rng
    requests = [request(rng) for _ in range(REQUESTS)]
    slow = case.index % 2 == 1
    with Served(SLOW_S if slow else 0.0, queue=FEW if slow else QUEUE) as served:
        started = threading.Barrier(CLIENTS + 1)
        clients = [
            Client(served.address, requests[at:] + requests[:at], started)
            for at in range(0, 2 * CLIENTS, 2)
        ]  # fmt: skip
        for client in clients:
            client.start()
        started.wait(END_S)
        time.sleep(float(rng.uniform(0, LATEST_S)))
        process, stopped = psutil.Process(served.pid), time.monotonic()
        os.kill(served.pid, signal.SIGTERM)
        try:
            code = process.wait(END_S)
        except psutil.TimeoutExpired as error:
            raise Broken(f"the server did not end within {END_S:g} s of SIGTERM") from error
    for client in clients:
        client.join(END_S)
    seen = sum((client.seen for client in clients), Counter())
    if code not in (0, None):  # None: another wait had it
        raise Broken(f"the server ended with {code}")
    if any(client.is_alive() for client in clients):
        raise Broken("a client waits for an answer that never comes")
    if odd := [came for came in seen if came != "nothing" and not came.startswith(tuple(map(str, WHOLE)))]:
        raise Broken(f"clients had {', '.join(odd)}: {dict(seen)}")
    lost = [came for client in clients for sent, came in client.kept if sent < stopped and came == "nothing"]
    if lost:
        raise Broken(f"{len(lost)} requests that were sent before SIGTERM had no answer: {dict(seen)}")
    if not seen["200"]:
        raise Broken(f"no request was answered: {dict(seen)}")
    return 1


PROMISE = Promise(
    15, "Restarts", "SIGTERM under load loses no request that was sent before: each has a whole answer, 200 "
    "or a refusal that says so, and the server ends with 0.", "restarts", 6, 500, case,
)  # fmt: skip
