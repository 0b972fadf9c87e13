"""Row 13: the same requests alone, and among others in a server that has more than it can take."""

from __future__ import annotations

import json
from pathlib import Path

from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.served_bundle import Served, request
from sightline_lab.load_test import load_client

WATCHED, OTHERS = 16, 80  # requests of a case
QUEUE, CLIENTS = 12, 60  # places in the server, five times as many clients
OF_ONE_ANSWER = ("id", "created")
TRIES = 40  # of a request that is refused because the server is full


def prepare(scratch: Path) -> Served:
    return Served(queue=QUEUE)


def case(case: Case) -> int:
    """Some requests one after the other, then among others, again and again until each had a place."""
    rng = case.rng
    watched = [request(rng) for _ in range(WATCHED)]
    address = case.prepared.address
    alone = load_client.once_each(address, watched, 1)
    if set(alone.statuses) != {200}:
        raise Broken(f"alone the requests were answered {sorted(set(alone.statuses))}")
    left, refused = list(range(WATCHED)), 0
    for tried in range(TRIES):
        # Whoever sends a large picture hardly ever has a whole body before the last place is taken.
        others = OTHERS * (TRIES - tried) // TRIES
        crowd = [watched[number] for number in left] + [request(rng) for _ in range(others)]
        order = [int(place) for place in rng.permutation(len(crowd))]
        together = load_client.once_each(address, [crowd[place] for place in order], CLIENTS)
        if odd := set(together.statuses) - {200, 429}:
            raise Broken(f"under overload requests were answered {sorted(odd)}")
        refused += together.count(429)
        answers = {order[at]: body for at, body in together.bodies.items()}
        full = [at for at in range(len(left)) if _refused(answers[at])]
        for at, number in enumerate(left):
            if at not in full and _comparable(answers[at]) != _comparable(alone.bodies[number]):
                raise Broken(f"request {number} was answered otherwise among {len(crowd)} requests")
        left = [left[at] for at in full]
        if not left:
            break
    else:
        raise Broken(f"{len(left)} requests were refused {TRIES} times")
    if not refused:
        raise Broken(f"{CLIENTS} clients did not fill a server of {QUEUE} places: nothing was tried")
    return WATCHED


def _refused(body: bytes) -> bool:
    return "error" in json.loads(body)


def _comparable(body: bytes) -> dict:
    """An answer without what names it."""
    return {key: value for key, value in json.loads(body).items() if key not in OF_ONE_ANSWER}


PROMISE = Promise(
    13, "Answers under load", "Under five times the load a server takes, every answer is the one that the "
    "same request has alone; who finds no place is told so.", "answers", 3, 625, case, prepare,
    finish=Served.close,
)  # fmt: skip
