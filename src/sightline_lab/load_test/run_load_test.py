"""`sightline lab load`: what the server takes, measured through its real HTTP door: the server on one core,
this process, which asks, on the other. One function a part; each tells its own conditions."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.data.questions.prompt_template import DESCRIBE
from sightline.data.questions.question_types import is_short
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.serve.limits import Limits
from sightline_lab.bench.paired_timing import rounded, spread
from sightline_lab.load_test import hostile_images, load_client, schema_fuzz, server_process
from sightline_lab.load_test.server_process import LoadError

SPLIT = "val"
PICTURES = 64  # different ones, asked about in turn
CLIENTS = 32  # that saturate: four full batches
ROUNDS = 5
BOUND_MS = 100.0  # p95 that both servers must hold; what feels at once (Nielsen, 1993)
STEPS = 5  # of the search for the rate that holds it
TIMES = 5  # overload, times the capacity
CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Place:
    """What is measured, and by how much the full lengths are shortened."""

    root: Path
    bundle: Path
    scale: float
    say: Callable[[str], None]

    def seconds(self, full: float) -> float:
        return max(0.5, full * self.scale)

    def count(self, full: int) -> int:
        return max(8, round(full * self.scale))

    @contextmanager
    def served(self) -> Iterator[tuple[str, int]]:
        """(address, process id) of `sightline serve`, page included, once all of it is there."""
        code = "import sys; from sightline.cli.main import main; sys.argv[0] = 'sightline'; main()"
        command = ["-c", code, "serve", "--bundle", self.bundle]
        with server_process.server(command, server_process.cores()[0], "/") as running:
            with server_process.pinned(server_process.cores()[1]):
                yield running


def asked(place: Place) -> dict[str, list[list[str]]]:
    """Kind -> [data URL, question] pairs: short questions with short answers, and descriptions."""
    items, triples = Items(place.root / "data/raw"), Triples(place.root / "data/vqa", SPLIT)
    found: dict[str, list[list[str]]] = {"short": [], "long": []}
    for triple in triples:
        item = items[triple["item"]]
        if item["image"] is None or not is_short(triple["type"]):
            continue
        address = hostile_images.url(items.image_bytes(item))
        found["short"].append([address, triple["question"]])
        found["long"].append([address, DESCRIBE])
        if len(found["short"]) == PICTURES:
            break
    if not found["short"]:
        raise LoadError(f"{triples.path}: no short question about a picture; run `make repro`")
    return found


def body(address: str, question: str, **more) -> bytes:
    content = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": address}}]
    asked = {"model": "sightline", "messages": [{"role": "user", "content": content}], **more}
    return load_client.post(CHAT, json.dumps(asked).encode())


def throughput(place: Place, pairs: dict) -> dict:
    """Answers a second at saturation over HTTP, against the same model called in process, in turn."""
    found: dict = {}
    with tempfile.TemporaryDirectory() as scratch:
        requests = Path(scratch) / "requests.json"
        requests.write_text(json.dumps(pairs), encoding="utf-8")
        command = ["-m", "sightline_lab.load_test.in_process", place.bundle, requests]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with (
            server_process.process(command, server_process.cores()[0], **pipes) as inside,
            place.served() as (url, pid),
        ):

            def alone(kind: str, seconds: float) -> dict:
                inside.stdin.write(f"{kind} {seconds}\n")
                inside.stdin.flush()
                return json.loads(inside.stdout.readline())

            def over_http(kind: str, seconds: float) -> dict:
                used, bodies = server_process.cpu_s(pid), [body(*pair) for pair in pairs[kind]]
                seen = load_client.closed(url, bodies, CLIENTS, seconds)
                cpu_s = server_process.cpu_s(pid) - used
                return {"answers": _all_good(seen), "seconds": seen.seconds, "cpu_s": cpu_s}

            for kind in pairs:
                alone(kind, place.seconds(1)), over_http(kind, place.seconds(1))
                rows = []
                for _ in range(ROUNDS):
                    rows.append((alone(kind, place.seconds(3)), over_http(kind, place.seconds(3))))
                    place.say(f"throughput, {kind}: {rows[-1][1]['answers'] / rows[-1][1]['seconds']:.0f}/s")
                found[kind] = _compared(rows)
    return found | {"clients": CLIENTS, "rounds": ROUNDS}


def _compared(rows: list[tuple[dict, dict]]) -> dict:
    """Rates, and ratios of the same round: of answers a second, and of answers a CPU second."""

    def rate(row: dict, per: str) -> float:
        return row["answers"] / row[per]

    pair = {"in_process": 0, "http": 1}
    told = {name: spread(np.array([rate(row[at], "seconds") for row in rows])) for name, at in pair.items()}
    for name, per in (("ratio", "seconds"), ("cpu_ratio", "cpu_s")):
        told[name] = spread(np.array([rate(http, per) / rate(alone, per) for alone, http in rows]))
    return told


def naive(place: Place, pairs: dict) -> dict:
    """The largest rate of arrivals at which p95 stays within the bound, of this server and of the plain one
    over the same model in PyTorch."""
    found: dict = {"bound_ms": BOUND_MS}
    command = ["-m", "sightline_lab.load_test.naive_server", place.root]
    starts = {
        "sightline": place.served,
        "naive": lambda: server_process.server(command, server_process.cores()[0], "/live"),
    }
    for name, start in starts.items():
        with start() as (url, _), server_process.pinned(server_process.cores()[1]):
            for kind, asked_about in pairs.items():
                bodies = [body(*pair) for pair in asked_about]
                rate = found.setdefault(kind, {})[name] = rounded(_sustained(place, url, bodies))
                place.say(f"{name}, {kind}: {rate:.0f}/s with p95 within {BOUND_MS:.0f} ms")
    for kind in pairs:
        low = found[kind]["naive"]
        found[kind]["ratio"] = rounded(found[kind]["sightline"] / low) if low else None
    return found


def _sustained(place: Place, url: str, bodies: list[bytes]) -> float:
    """By halving between nothing and somewhat more than it does at saturation. 0 where none holds."""
    load_client.closed(url, bodies, 8, place.seconds(1))
    seen = load_client.closed(url, bodies, CLIENTS, place.seconds(2))
    low, high = 0.0, 1.2 * _all_good(seen) / seen.seconds
    for step in range(STEPS):
        rate = (low + high) / 2
        seen = load_client.arriving(url, bodies, rate, place.seconds(3), seed=step)
        held = set(seen.statuses) == {200} and seen.percentile(95) <= BOUND_MS
        low, high = (rate, high) if held else (low, rate)
    return low


def overload(place: Place, pairs: dict) -> dict:
    """Five times as many requests as the server can take."""
    limits = Limits()
    bodies = [body(*pair) for pair in pairs["short"]]
    with place.served() as (url, _):
        load_client.closed(url, bodies, 1, place.seconds(1))
        seen = load_client.closed(url, bodies, CLIENTS, place.seconds(4))
        capacity = _all_good(seen) / seen.seconds
        unloaded = load_client.closed(url, bodies, 1, place.seconds(8))
        _all_good(unloaded)
        seconds = place.seconds(60)
        place.say(f"overload: {TIMES * capacity:.0f} requests a second for {seconds:.0f} s")
        seen = load_client.arriving(url, bodies, TIMES * capacity, seconds, seed=0)
        after = load_client.closed(url, bodies, 1, place.seconds(1))
    if not seen.count(200):
        raise LoadError("no request was answered under overload; expected as many as without it")
    budget_ms = 1000 * limits.queue / capacity
    statuses = {str(status): seen.count(status) for status in sorted(set(seen.statuses))}
    refused_ms = seen.percentile(99, 429)
    return {
        "capacity": rounded(capacity), "offered": rounded(TIMES * capacity), "seconds": rounded(seconds),
        "statuses": statuses, "hung": seen.count(load_client.HUNG), "broken": seen.count(load_client.BROKEN),
        "unloaded_p99_ms": rounded(unloaded.percentile(99)), "queue_budget_ms": rounded(budget_ms),
        "admitted_p50_ms": rounded(seen.percentile(50)), "admitted_p99_ms": rounded(seen.percentile(99)),
        "allowed_p99_ms": rounded(2 * unloaded.percentile(99) + budget_ms),
        "refused_p99_ms": None if refused_ms is None else rounded(refused_ms),
        "answered_per_s": rounded(seen.count(200) / seen.seconds),
        "late_p99_ms": rounded(float(np.percentile(seen.late_ms, 99))),
        "after": "answers" if set(after.statuses) == {200} else "does not answer",
    }  # fmt: skip


KNOBS = (
    {}, {"sightline": {"spin": True}}, {"sightline": {"explanation": True}}, {"temperature": 1.3, "seed": 11},
    {"sightline": {"retrieval": 3}}, {"max_tokens": 2},
)  # fmt: skip


def identical(place: Place, pairs: dict) -> dict:
    """Every request alone, then all of them at once in another order: equal to the byte, but for what is
    drawn anew for each (its id and the time)."""
    mixed = [pair for both in zip(pairs["short"], pairs["long"], strict=True) for pair in both]
    bodies = [
        body(*mixed[number % len(mixed)], **KNOBS[number % len(KNOBS)]) for number in range(place.count(500))
    ]
    order = list(range(len(bodies)))
    random.Random(0).shuffle(order)
    with place.served() as (url, _):
        alone = load_client.each(url, bodies, 1)
        together = load_client.each(url, [bodies[number] for number in order], CLIENTS)
    _all_good(alone), _all_good(together)
    same = [_core(together.bodies[at]) == _core(alone.bodies[number]) for at, number in enumerate(order)]
    different = len({_core(told) for told in alone.bodies.values()})
    return {"requests": len(same), "identical": sum(same), "different_answers": different, "clients": CLIENTS}


def _core(told: bytes) -> bytes:
    answer = json.loads(told)
    return json.dumps({key: answer[key] for key in answer if key not in ("id", "created")}).encode()


def hostile(place: Place, pairs: dict) -> dict:
    """Hostile uploads, one at a time: time and status of each, and by how much the server's memory grows."""
    drawn = [hostile_images.drawn(number) for number in range(place.count(500))]
    bodies = [body(address, "Is there a ball?") for _, address in drawn]
    with place.served() as (url, pid):
        _all_good(load_client.closed(url, [body(*pair) for pair in pairs["short"]], 8, place.seconds(2)))
        memory = server_process.Memory(pid)
        seen = load_client.each(url, bodies, 1)
        grown = memory.grown
    kinds: dict[str, dict] = {}
    for (kind, _), status, ms in zip(drawn, seen.statuses, seen.ms, strict=True):
        own = kinds.setdefault(kind, {"statuses": {}, "slowest_ms": 0.0})
        own["statuses"][str(status)] = own["statuses"].get(str(status), 0) + 1
        own["slowest_ms"] = rounded(max(own["slowest_ms"], ms))
    good = sum(status == 200 or 400 <= status < 500 for status in seen.statuses)
    return {
        "uploads": len(drawn), "refused_or_answered": good, "slowest_ms": rounded(max(seen.ms)),
        "within_1_s": sum(ms <= 1000 for ms in seen.ms), "memory_growth_mb": rounded(grown / 1e6),
        "kinds": kinds,
    }  # fmt: skip


def schema(place: Place, pairs: dict) -> dict:
    """Odd requests to every route of the published schema."""
    with place.served() as (url, _):
        found, report = schema_fuzz.run(url, place.count(5000))
    if found["faults"]:
        place.say(report)
    return found


PARTS = {
    part.__name__: part for part in (throughput, naive, overload, identical, hostile, schema)
}  # fmt: skip


def _all_good(seen: load_client.Seen) -> int:
    """How many answers there were. Raises LoadError where one is no success, and so nothing was measured."""
    if set(seen.statuses) != {200}:
        odd = sorted(set(seen.statuses) - {200})
        raise LoadError(f"the server answered {', '.join(map(str, odd)) or 'nothing'}, expected 200 only")
    return len(seen.statuses)
