"""Row 9: servers that cut, lie, stall and refuse, in any order."""

from __future__ import annotations

import hashlib
from typing import Any
from unittest import mock

import numpy as np

from sightline.data import fetch
from sightline.data.http_connection import FetchError
from sightline.data.http_transfer import Transfer
from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.fault_server import fault_server

SIZE, TIMEOUT_S, TRIES = 200_000, 0.5, 5
SPARED = 1.05  # of the file, where every answer was honest about ranges
HONEST = ("cut", "busy", "slow start")
FORMS = (
    *HONEST, "ignored range", "wrong range", "longer", "shorter", "no length", "changed", "gone",
    "other bytes", "loop",
)  # fmt: skip


def case(case: Case) -> int:
    """A server with up to six faults, then honest; a second download where the first gave up."""
    rng = case.rng
    body = rng.bytes(SIZE)
    pin = "sha256:" + hashlib.sha256(body).hexdigest()
    forms = [str(form) for form in rng.choice(FORMS, int(rng.integers(0, 7)))]
    target, reasons = case.scratch / "file.bin", []
    # Waits between two attempts only cost time here.
    with fault_server() as server, mock.patch.object(fetch, "BACKOFF_S", 0.001):
        server.files["/file.bin"] = body
        server.faults = [_fault(form, rng) for form in forms]
        limits = Transfer(TIMEOUT_S, 2 * SIZE, tries=TRIES)
        for _ in range(len(forms) + 1):
            try:
                fetch.fetch(f"{server.url}/file.bin", target, pin, limits)
                break
            except FetchError as error:
                reasons.append(error.reason)
                if target.exists():
                    raise Broken(f"{forms}: refused for {error.reason}, but the file is there") from error
        else:
            raise Broken(f"{forms}: not there after {len(reasons)} downloads: {reasons}")
        sent = server.sent
    if target.read_bytes() != body:
        raise Broken(f"{forms}: other bytes have the file's name")
    if set(forms) <= set(HONEST) and sent > SPARED * SIZE:
        raise Broken(f"{forms}: {sent} bytes were sent for a file of {SIZE}")
    if left := [path.name for path in case.scratch.iterdir() if path.suffix in (".part", ".json")]:
        raise Broken(f"{forms}: {left} are left")
    return 1


def _fault(form: str, rng: np.random.Generator) -> dict[str, Any]:
    """What the server does to one request."""
    at = int(rng.integers(0, SIZE))
    return {
        "cut": {"cut": at},
        "busy": {"status": int(rng.choice([429, 503])), "headers": {"Retry-After": "0"}, "body": b"busy"},
        "slow start": {"cut": 0},
        "ignored range": {"ignore_range": True, "cut": at},
        "wrong range": {"content_range": f"bytes {at}-{SIZE}/{SIZE + 1}"},
        "longer": {"lie": int(rng.integers(1, 1000))},
        "shorter": {"lie": -int(rng.integers(1, 1000))},
        "no length": {"no_length": True, "cut": at},
        "changed": {"headers": {"ETag": f'"{at}"'}, "cut": at},
        "gone": {"status": 500, "body": b"an error"},
        "other bytes": {"body": rng.bytes(SIZE)},
        "loop": {"status": 302, "headers": {"Location": "/file.bin"}, "body": b""},
    }[form]


PROMISE = Promise(
    9, "Downloads", "The file with the pinned checksum has its name, or nothing has; another download goes "
    "on where one ended, and nothing half-done is left.", "schedules", 60, 1000, case,
)  # fmt: skip
