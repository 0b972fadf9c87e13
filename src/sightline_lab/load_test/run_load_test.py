"""`sightline lab load`: the server under load, measured over HTTP: the server on one core, this process, the
client, on the other. One function per part; each result states its conditions."""

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
from sightline.serve.deploy import environments
from sightline_lab.bench.paired_timing import rounded, spread
from sightline_lab.load_test import (
    hostile_images,
    load_client,
    local_proxy,
    rolling_update,
    schema_fuzz,
    server_process,
)
from sightline_lab.load_test.server_process import LoadError

SPLIT = "val"
PICTURES = 64  # different ones, taken in turn
CLIENTS = 32  # that saturate: four full batches
ROUNDS = 5
BOUND_MS = 100.0  # p95 of both servers; the limit of feeling instantaneous (Nielsen, 1993)
STEPS = 5  # of the search for the rate that holds it
REPLACED = 12  # servers, at least, in a rolling update
ROLLING_CLIENTS = 16  # so many that one server alone has room for
TIMES = 5  # overload, times the capacity
CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class LoadSetup:
    """The bundle under test, and the share of the full lengths and counts."""

    root: Path
    bundle: Path
    scale: float
    echo: Callable[[str], None]

    def seconds(self, full: float) -> float:
        return max(0.5, full * self.scale)

    def count(self, full: int) -> int:
        return max(8, round(full * self.scale))

    @contextmanager
    def served(self) -> Iterator[tuple[str, int]]:
        """(address, process id) of `sightline serve`, page included, once it is ready."""
        command = ["-c", rolling_update.CODE, "serve", "--bundle", self.bundle]
        with server_process.server(command, server_process.cores()[0], "/") as running:
            with server_process.pinned(server_process.cores()[1]):
                yield running


def question_pairs(setup: LoadSetup) -> dict[str, list[list[str]]]:
    """Kind -> [data URL, question] pairs: short questions with short answers, and descriptions."""
    items, triples = Items(setup.root / "data/raw"), Triples(setup.root / "data/vqa", SPLIT)
    pairs: dict[str, list[list[str]]] = {"short": [], "long": []}
    for triple in triples:
        item = items[triple["item"]]
        if item["image"] is None or not is_short(triple["type"]):
            continue
        address = hostile_images.url(items.image_bytes(item))
        pairs["short"].append([address, triple["question"]])
        pairs["long"].append([address, DESCRIBE])
        if len(pairs["short"]) == PICTURES:
            break
    if not pairs["short"]:
        raise LoadError(f"{triples.path}: no short question about a picture; run `make repro`")
    return pairs


def body(address: str, question: str, root_path: str = "", **more) -> bytes:
    content = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": address}}]
    request = {"model": "sightline", "messages": [{"role": "user", "content": content}], **more}
    return load_client.post(root_path + CHAT, json.dumps(request).encode())


def throughput(setup: LoadSetup, pairs: dict) -> dict:
    """Answers a second at saturation over HTTP, against the same model called in process, in turn."""
    result: dict = {}
    with tempfile.TemporaryDirectory() as scratch:
        requests = Path(scratch) / "requests.json"
        requests.write_text(json.dumps(pairs), encoding="utf-8")
        command = ["-m", "sightline_lab.load_test.in_process", setup.bundle, requests]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with (
            server_process.process(command, server_process.cores()[0], **pipes) as inside,
            setup.served() as (url, pid),
        ):

            def alone(kind: str, seconds: float) -> dict:
                inside.stdin.write(f"{kind} {seconds}\n")
                inside.stdin.flush()
                return json.loads(inside.stdout.readline())

            def over_http(kind: str, seconds: float) -> dict:
                used, bodies = server_process.cpu_s(pid), [body(*pair) for pair in pairs[kind]]
                load = load_client.closed_loop(url, bodies, CLIENTS, seconds)
                cpu_s = server_process.cpu_s(pid) - used
                return {"answers": _require_success(load), "seconds": load.seconds, "cpu_s": cpu_s}

            for kind in pairs:
                alone(kind, setup.seconds(1)), over_http(kind, setup.seconds(1))
                rows = []
                for _ in range(ROUNDS):
                    rows.append((alone(kind, setup.seconds(3)), over_http(kind, setup.seconds(3))))
                    setup.echo(f"throughput, {kind}: {rows[-1][1]['answers'] / rows[-1][1]['seconds']:.0f}/s")
                result[kind] = _compared(rows)
    return result | {"clients": CLIENTS, "rounds": ROUNDS}


def _compared(rows: list[tuple[dict, dict]]) -> dict:
    """Rates, and ratios of the same round: of answers a second, and of answers a CPU second."""

    def rate(row: dict, per: str) -> float:
        return row["answers"] / row[per]

    pair = {"in_process": 0, "http": 1}
    summary = {
        name: spread(np.array([rate(row[at], "seconds") for row in rows])) for name, at in pair.items()
    }
    for name, per in (("ratio", "seconds"), ("cpu_ratio", "cpu_s")):
        summary[name] = spread(np.array([rate(http, per) / rate(alone, per) for alone, http in rows]))
    return summary


def naive(setup: LoadSetup, pairs: dict) -> dict:
    """The largest rate of arrivals at which p95 stays within the bound, of this server and of the plain one
    over the same model in PyTorch."""
    result: dict = {"bound_ms": BOUND_MS}
    command = ["-m", "sightline_lab.load_test.naive_server", setup.root]
    starts = {
        "sightline": setup.served,
        "naive": lambda: server_process.server(command, server_process.cores()[0], "/live"),
    }
    for name, start in starts.items():
        with start() as (url, _), server_process.pinned(server_process.cores()[1]):
            for kind, of_kind in pairs.items():
                bodies = [body(*pair) for pair in of_kind]
                rate = result.setdefault(kind, {})[name] = rounded(_sustained(setup, url, bodies))
                setup.echo(f"{name}, {kind}: {rate:.0f}/s with p95 within {BOUND_MS:.0f} ms")
    for kind in pairs:
        low = result[kind]["naive"]
        result[kind]["ratio"] = rounded(result[kind]["sightline"] / low) if low else None
    return result


def _sustained(setup: LoadSetup, url: str, bodies: list[bytes]) -> float:
    """Largest rate within the bound, by bisection up to 1.2 times the rate at saturation; 0 where none is."""
    load_client.closed_loop(url, bodies, 8, setup.seconds(1))
    load = load_client.closed_loop(url, bodies, CLIENTS, setup.seconds(2))
    low, high = 0.0, 1.2 * _require_success(load) / load.seconds
    for step in range(STEPS):
        rate = (low + high) / 2
        load = load_client.open_loop(url, bodies, rate, setup.seconds(3), seed=step)
        within_bound = set(load.statuses) == {200} and load.percentile(95) <= BOUND_MS
        low, high = (rate, high) if within_bound else (low, rate)
    return low


def overload(setup: LoadSetup, pairs: dict) -> dict:
    """Five times the request rate of the server at saturation."""
    limits = environments.load("dev").limits
    bodies = [body(*pair) for pair in pairs["short"]]
    with setup.served() as (url, _):
        load_client.closed_loop(url, bodies, 1, setup.seconds(1))
        load = load_client.closed_loop(url, bodies, CLIENTS, setup.seconds(4))
        capacity = _require_success(load) / load.seconds
        unloaded = load_client.closed_loop(url, bodies, 1, setup.seconds(8))
        _require_success(unloaded)
        seconds = setup.seconds(60)
        setup.echo(f"overload: {TIMES * capacity:.0f} requests a second for {seconds:.0f} s")
        load = load_client.open_loop(url, bodies, TIMES * capacity, seconds, seed=0)
        after = load_client.closed_loop(url, bodies, 1, setup.seconds(1))
    if not load.count(200):
        raise LoadError("no request was answered under overload; expected as many as without it")
    budget_ms = 1000 * limits.queue / capacity
    statuses = {str(status): load.count(status) for status in sorted(set(load.statuses))}
    refused_ms = load.percentile(99, 429)
    return {
        "capacity": rounded(capacity), "offered": rounded(TIMES * capacity), "seconds": rounded(seconds),
        "statuses": statuses, "hung": load.count(load_client.HUNG), "broken": load.count(load_client.BROKEN),
        "unloaded_p99_ms": rounded(unloaded.percentile(99)), "queue_budget_ms": rounded(budget_ms),
        "admitted_p50_ms": rounded(load.percentile(50)), "admitted_p99_ms": rounded(load.percentile(99)),
        "allowed_p99_ms": rounded(2 * unloaded.percentile(99) + budget_ms),
        "refused_p99_ms": None if refused_ms is None else rounded(refused_ms),
        "answered_per_s": rounded(load.count(200) / load.seconds),
        "late_p99_ms": rounded(float(np.percentile(load.late_ms, 99))),
        "after": "answers" if set(after.statuses) == {200} else "does not answer",
    }  # fmt: skip


OPTIONS = (
    {}, {"sightline": {"spin": True}}, {"sightline": {"explanation": True}}, {"temperature": 1.3, "seed": 11},
    {"sightline": {"retrieval": 3}}, {"max_tokens": 2},
)  # fmt: skip


def identical(setup: LoadSetup, pairs: dict) -> dict:
    """Every request alone, then all of them at once in another order: byte-identical but for the
    id and the time of each answer."""
    mixed = [pair for both in zip(pairs["short"], pairs["long"], strict=True) for pair in both]
    bodies = [
        body(*mixed[number % len(mixed)], **OPTIONS[number % len(OPTIONS)])
        for number in range(setup.count(500))
    ]
    order = list(range(len(bodies)))
    random.Random(0).shuffle(order)
    with setup.served() as (url, _):
        alone = load_client.once_each(url, bodies, 1)
        together = load_client.once_each(url, [bodies[number] for number in order], CLIENTS)
    _require_success(alone), _require_success(together)
    same = [
        _comparable(together.bodies[at]) == _comparable(alone.bodies[number])
        for at, number in enumerate(order)
    ]
    different = len({_comparable(answer) for answer in alone.bodies.values()})
    return {"requests": len(same), "identical": sum(same), "different_answers": different, "clients": CLIENTS}


def _comparable(response: bytes) -> bytes:
    answer = json.loads(response)
    return json.dumps({key: answer[key] for key in answer if key not in ("id", "created")}).encode()


def hostile(setup: LoadSetup, pairs: dict) -> dict:
    """Hostile uploads, one at a time: time and status of each, and the growth of the server's memory."""
    uploads = [hostile_images.sample(number) for number in range(setup.count(500))]
    bodies = [body(address, "Is there a ball?") for _, address in uploads]
    with setup.served() as (url, pid):
        _require_success(
            load_client.closed_loop(url, [body(*pair) for pair in pairs["short"]], 8, setup.seconds(2))
        )
        memory = server_process.Memory(pid)
        load = load_client.once_each(url, bodies, 1)
        grown = memory.grown
    kinds: dict[str, dict] = {}
    for (kind, _), status, ms in zip(uploads, load.statuses, load.ms, strict=True):
        row = kinds.setdefault(kind, {"statuses": {}, "slowest_ms": 0.0})
        row["statuses"][str(status)] = row["statuses"].get(str(status), 0) + 1
        row["slowest_ms"] = rounded(max(row["slowest_ms"], ms))
    good = sum(status == 200 or 400 <= status < 500 for status in load.statuses)
    return {
        "uploads": len(uploads), "refused_or_answered": good, "slowest_ms": rounded(max(load.ms)),
        "within_1_s": sum(ms <= 1000 for ms in load.ms), "memory_growth_mb": rounded(grown / 1e6),
        "kinds": kinds,
    }  # fmt: skip


def schema(setup: LoadSetup, pairs: dict) -> dict:
    """Generated requests to every route of the published schema."""
    with setup.served() as (url, _):
        counts, report = schema_fuzz.run(url, setup.count(5000))
    if counts["faults"]:
        setup.echo(report)
    return counts


def rolling(setup: LoadSetup, pairs: dict) -> dict:
    """Short and long questions through nginx before two servers, which are replaced all the while."""
    mixed = [pair for both in zip(pairs["short"], pairs["long"], strict=True) for pair in both]
    bodies = [body(*pair, root_path=local_proxy.ROOT_PATH) for pair in mixed]
    requests, replaced = setup.count(5000), max(2, round(REPLACED * setup.scale))
    return rolling_update.measure(setup.bundle, bodies, requests, replaced, ROLLING_CLIENTS)


PARTS = {
    part.__name__: part for part in (throughput, naive, overload, identical, hostile, schema, rolling)
}  # fmt: skip


def _require_success(load: load_client.LoadResult) -> int:
    """Number of answers. Raises LoadError where any status is not 200: nothing was measured then."""
    if set(load.statuses) != {200}:
        unexpected = sorted(set(load.statuses) - {200})
        raise LoadError(
            f"the server answered {', '.join(map(str, unexpected)) or 'nothing'}, expected 200 only"
        )
    return len(load.statuses)
