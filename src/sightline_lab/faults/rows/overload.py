"""Row 14: five times as many requests as the server can answer, at random moments, whether it answers or not.

How fast it answers and refuses meanwhile is measured by the load test (docs/reports/load.md).
"""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.served_bundle import Served, request
from sightline_lab.load_test import load_client

QUEUE, CLIENTS = 12, 24  # places in the server, and clients that fill it
REQUESTS = 40  # different ones, taken in turn
FULL_S, OVER_S = 1.5, 3.0  # at its capacity, and beyond it
TIMES = 5
LIVE = b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Watch(threading.Thread):
    """Asks whether the server lives, one request after the other, until it is `over`."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address, self.over, self.seen = address, threading.Event(), Counter[int]()

    def run(self) -> None:
        while not self.over.wait(0.02):
            self.seen.update(load_client.once_each(self._address, [LIVE], 1).statuses)


def prepare(scratch: Path) -> Served:
    return Served(queue=QUEUE)


def case(case: Case) -> int:
    """A mixture of requests; how many were sent beyond the capacity."""
    rng, address = case.rng, case.prepared.address
    requests = [request(rng) for _ in range(REQUESTS)]
    full = load_client.closed_loop(address, requests, CLIENTS, FULL_S)
    if not full.count(200):
        raise Broken(f"a full server answered {Counter(full.statuses)}")
    rate = TIMES * full.count(200) / full.seconds
    watch = Watch(address)
    watch.start()
    over = load_client.open_loop(address, requests, rate, OVER_S, int(rng.integers(2**31)))
    watch.over.set()
    watch.join()
    seen, after = Counter(over.statuses), load_client.once_each(address, requests[:1], 1)
    what = f"at {rate:.0f} requests a second, {TIMES} times its capacity, the server"
    if odd := set(seen) - {200, 429}:
        raise Broken(f"{what} answered {dict(seen)}: {sorted(odd)} (0: no answer, -1: a broken connection)")
    if not seen[200] or not seen[429]:
        raise Broken(f"{what} answered {dict(seen)}: some must be answered, and some refused")
    if set(watch.seen) != {200}:
        raise Broken(f"{what} told of its life {dict(watch.seen)}")
    if after.statuses != [200]:
        raise Broken(f"afterwards a request was answered {after.statuses[0]}")
    return len(over.statuses)


PROMISE = Promise(
    14, "Overload", "Of five times as many requests as the server can answer each is answered, or refused at "
    "once with a time to come back: none hangs, no connection breaks; it says that it lives meanwhile, and "
    "answers afterwards.", "requests", 3, 200, case, prepare, finish=Served.close,
)  # fmt: skip
