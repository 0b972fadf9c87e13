"""`lab load`: the client counts what happens, the parts find what is there, the page says what the file
says. No times."""

import asyncio
import json
import os
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from fastapi import FastAPI, Request, Response

from sightline.serve import image_input
from sightline.serve.api import create_app
from sightline.serve.limits import ApiError, Limits
from sightline_lab.load_test import hostile_images, load_client, load_page, run_load_test, server_process
from tests.support import serving, tiny


@pytest.fixture(scope="module")
def echo():
    """A server that answers with what it gets; `wait` in a body comes back too late, `full` is refused."""
    app = FastAPI()

    @app.post("/echo")
    async def said(request: Request) -> Response:
        body = await request.body()
        if body == b"wait":
            await asyncio.sleep(3)
        return Response(body, 429 if body == b"full" else 200)

    with serving.running(app) as address:
        yield address


def asked(*bodies):
    return [load_client.post("/echo", body) for body in bodies]


def test_every_request_is_answered_once_and_told_in_its_place(echo):
    seen = load_client.each(echo, asked(*(str(number).encode() for number in range(40))), 7)
    assert seen.bodies == {number: str(number).encode() for number in range(40)}
    assert seen.statuses == [200] * 40 and len(seen.ms) == len(seen.late_ms) == 40 and seen.seconds > 0


def test_a_closed_loop_takes_requests_in_turn_and_counts_refusals(echo):
    seen = load_client.closed(echo, asked(b"a", b"full"), 3, 0.3)
    assert set(seen.statuses) == {200, 429} and abs(seen.count(200) - seen.count(429)) <= 3
    assert seen.percentile(99) > 0 and seen.percentile(50, status=500) is None


def test_arrivals_do_not_wait_for_answers(echo, monkeypatch):
    monkeypatch.setattr(load_client, "HUNG_S", 0.5)
    seen = load_client.arriving(echo, asked(b"wait", b"a", b"a", b"a"), 200, 0.2, seed=0)
    assert len(seen.statuses) == 40 and seen.count(load_client.HUNG) == 10 and seen.count(200) == 30


def test_a_broken_connection_is_counted():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            for _ in range(3):
                listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        seen = load_client.each(f"http://127.0.0.1:{listening.getsockname()[1]}", asked(b"a", b"b", b"c"), 1)
        thread.join()
    assert seen.statuses == [load_client.BROKEN] * 3


def test_ratios_are_of_the_same_round():
    def row(answers, seconds, cpu_s):
        return {"answers": answers, "seconds": seconds, "cpu_s": cpu_s}

    rows = [(row(100, 1.0, 1.0), row(80, 1.0, 0.5)), (row(50, 1.0, 1.0), row(45, 1.0, 1.0))]
    found = run_load_test._compared(rows)
    assert found["ratio"]["median"] == 0.85 and found["in_process"]["median"] == 75.0
    assert found["cpu_ratio"]["median"] == 1.25


def test_hostile_uploads_are_the_same_every_time_and_refused_or_read():
    assert hostile_images.drawn(4) == hostile_images.drawn(4)
    found = {}
    for number in range(2 * len(hostile_images.KINDS)):
        kind, address = hostile_images.drawn(number)
        try:
            image_input.decode(address, Limits(), False)
            found.setdefault(kind, set()).add(200)
        except ApiError as refused:
            found.setdefault(kind, set()).add(refused.status)
    assert set(found) == set(hostile_images.KINDS) and set().union(*found.values()) == {200, 400, 413}
    assert found["bombs"] == {413} and found["as large as allowed"] == found["animations"] == {200}


@pytest.fixture
def place(model, tmp_path):
    """The parts against a server of the tiny model, in this process."""

    class Here(run_load_test.Place):
        @contextmanager
        def served(self):
            with serving.running(create_app(model, Limits(batch=4, queue=8))) as address:
                yield address, os.getpid()

    return Here(tmp_path, tmp_path, 0.02, lambda line: None)


@pytest.fixture
def pairs(monkeypatch):
    monkeypatch.setattr(run_load_test, "CLIENTS", 6)
    shown = [serving.url(serving.png(rgb)) for rgb in tiny.pictures(4)]
    return {
        "short": [[url, text] for url, text in zip(shown, tiny.QUESTIONS, strict=True)],
        "long": [[url, tiny.QUESTIONS[2]] for url in shown],
    }


def test_answers_under_load_are_found_identical(place, pairs):
    found = run_load_test.identical(replace(place, scale=0.05), pairs)
    assert found["requests"] == found["identical"] == 25 and found["different_answers"] > 3


def test_a_server_that_answers_otherwise_under_load_is_found(place, pairs, monkeypatch):
    real, calls = run_load_test._core, iter(range(10**6))
    monkeypatch.setattr(run_load_test, "_core", lambda told: real(told) if next(calls) != 3 else b"other")
    found = run_load_test.identical(place, pairs)
    assert found["identical"] == found["requests"] - 1


def test_overload_is_refused_and_nothing_hangs(place, pairs):
    found = run_load_test.overload(place, pairs)
    assert set(found["statuses"]) <= {"200", "429"} and found["hung"] == found["broken"] == 0
    assert sum(found["statuses"].values()) > 0 and found["after"] == "answers"
    allowed = 2 * found["unloaded_p99_ms"] + found["queue_budget_ms"]
    assert found["allowed_p99_ms"] == pytest.approx(allowed, rel=0.01)


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="memory is read from /proc")
def test_hostile_uploads_are_counted_by_kind(place, pairs):
    found = run_load_test.hostile(replace(place, scale=0.024), pairs)
    assert found["uploads"] == found["refused_or_answered"] == 12
    assert set(found["kinds"]) == set(hostile_images.KINDS) and found["memory_growth_mb"] >= 0
    assert sum(sum(own["statuses"].values()) for own in found["kinds"].values()) == 12


def test_the_largest_memory_is_seen_after_it_was_given_back():
    memory = server_process.Memory(os.getpid())
    held = np.ones(200 << 20, dtype=np.uint8)
    del held
    assert 190 << 20 < memory.grown < 400 << 20


def test_a_server_that_does_not_start_says_why():
    command = ["-c", "import sys; sys.exit('no such bundle')"]
    with pytest.raises(server_process.LoadError, match="it said: no such bundle"):
        with server_process.server(command, None, "/live"):
            pass


def test_the_page_is_made_of_the_parts_that_were_measured(tmp_path):
    (tmp_path / "docs" / "reports").mkdir(parents=True)
    (tmp_path / "metrics").mkdir()
    machine = {"processor": "a processor", "cores": 2, "load": 0.0}
    same = {"requests": 500, "identical": 499, "different_answers": 300, "clients": 32}
    load_page.merge(tmp_path, {"identical": same}, machine, 1.0)
    load_page.merge(tmp_path, {"schema": {"cases": 5120, "faults": 0}}, machine | {"load": 2.0}, 0.1)
    load_page.write(tmp_path)
    told = (tmp_path / load_page.PAGE).read_text()
    assert "| 499 of 500 (300 different answers) |" in told and "| 5,120, 0 faults |" in told
    assert "**Provisional**, schema" in told and "**Provisional**, identical" not in told
    assert "overload" not in told and json.loads((tmp_path / load_page.RESULT).read_text())["identical"]
