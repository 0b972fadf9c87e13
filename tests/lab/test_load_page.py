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
from sightline.serve.api_error import ApiError
from sightline_lab import report_page
from sightline_lab.load_test import hostile_images, load_client, load_page, run_load_test, server_process
from tests.support import serving, tiny


@pytest.fixture(scope="module")
def echo():
    """A server that answers with what it gets; `wait` in a body comes back too late, `full` is refused."""
    app = FastAPI()

    @app.post("/echo")
    async def answer(request: Request) -> Response:
        body = await request.body()
        if body == b"wait":
            await asyncio.sleep(3)
        if body == b"full":
            return Response(body, 429, {"retry-after": "1"})
        return Response(body, 429 if body == b"full for ever" else 200)

    with serving.running(app) as address:
        yield address


def posts(*bodies):
    return [load_client.post("/echo", body) for body in bodies]


def test_every_request_is_answered_once_and_told_in_its_place(echo):
    load = load_client.once_each(echo, posts(*(str(number).encode() for number in range(40))), 7)
    assert load.bodies == {number: str(number).encode() for number in range(40)}
    assert load.statuses == [200] * 40 and len(load.ms) == len(load.late_ms) == 40 and load.seconds > 0


def test_a_closed_loop_takes_requests_in_turn_and_counts_refusals(echo):
    load = load_client.closed_loop(echo, posts(b"a", b"full"), 3, 0.3)
    assert set(load.statuses) == {200, 429} and abs(load.count(200) - load.count(429)) <= 3
    assert load.percentile(99) > 0 and load.percentile(50, status=500) is None


def test_a_refusal_without_a_time_to_come_back_is_a_fault(echo):
    load = load_client.once_each(echo, posts(b"full", b"full for ever"), 1)
    assert load.statuses == [429, load_client.BROKEN]


def test_arrivals_do_not_wait_for_answers(echo, monkeypatch):
    monkeypatch.setattr(load_client, "HUNG_S", 0.5)
    load = load_client.open_loop(echo, posts(b"wait", b"a", b"a", b"a"), 200, 0.2, seed=0)
    assert len(load.statuses) == 40 and load.count(load_client.HUNG) == 10 and load.count(200) == 30


def test_a_broken_connection_is_counted():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            for _ in range(3):
                listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        load = load_client.once_each(
            f"http://127.0.0.1:{listening.getsockname()[1]}", posts(b"a", b"b", b"c"), 1
        )
        thread.join()
    assert load.statuses == [load_client.BROKEN] * 3


def test_ratios_are_of_the_same_round():
    def row(answers, seconds, cpu_s):
        return {"answers": answers, "seconds": seconds, "cpu_s": cpu_s}

    rows = [(row(100, 1.0, 1.0), row(80, 1.0, 0.5)), (row(50, 1.0, 1.0), row(45, 1.0, 1.0))]
    summary = run_load_test._compared(rows)
    assert summary["ratio"]["median"] == 0.85 and summary["in_process"]["median"] == 75.0
    assert summary["cpu_ratio"]["median"] == 1.25


def test_hostile_uploads_are_the_same_every_time_and_refused_or_read(workers):
    assert hostile_images.sample(4) == hostile_images.sample(4)
    statuses = {}
    for number in range(2 * len(hostile_images.KINDS)):
        kind, address = hostile_images.sample(number)
        try:
            image_input.decode(address, serving.deployed().limits, False, workers)
            statuses.setdefault(kind, set()).add(200)
        except ApiError as refused:
            statuses.setdefault(kind, set()).add(refused.status)
    assert set(statuses) == set(hostile_images.KINDS) and set().union(*statuses.values()) == {200, 400, 413}
    assert statuses["bombs"] == {413} and statuses["as large as allowed"] == statuses["animations"] == {200}


@pytest.fixture
def setup(model, tmp_path):
    """The parts against a server of the tiny model, in this process."""

    class Here(run_load_test.LoadSetup):
        @contextmanager
        def served(self):
            with serving.running(create_app(model, serving.deployed(batch=4, queue=8))) as address:
                yield address, os.getpid()

    return Here(tmp_path, tmp_path, 0.02, lambda line: None)


@pytest.fixture
def pairs(monkeypatch):
    monkeypatch.setattr(run_load_test, "CLIENTS", 6)
    images = [serving.url(serving.png(rgb)) for rgb in tiny.pictures(4)]
    return {
        "short": [[url, text] for url, text in zip(images, tiny.QUESTIONS, strict=True)],
        "long": [[url, tiny.QUESTIONS[2]] for url in images],
    }


def test_answers_under_load_are_found_identical(setup, pairs):
    result = run_load_test.identical(replace(setup, scale=0.05), pairs)
    assert result["requests"] == result["identical"] == 25 and result["different_answers"] > 3


def test_a_server_that_answers_otherwise_under_load_is_found(setup, pairs, monkeypatch):
    real, calls = run_load_test._comparable, iter(range(10**6))
    monkeypatch.setattr(
        run_load_test, "_comparable", lambda response: real(response) if next(calls) != 3 else b"other"
    )
    result = run_load_test.identical(setup, pairs)
    assert result["identical"] == result["requests"] - 1


def test_overload_is_refused_and_nothing_hangs(setup, pairs):
    result = run_load_test.overload(setup, pairs)
    assert set(result["statuses"]) <= {"200", "429"} and result["hung"] == result["broken"] == 0
    assert sum(result["statuses"].values()) > 0 and result["after"] == "answers"
    allowed = 2 * result["unloaded_p99_ms"] + result["queue_budget_ms"]
    assert result["allowed_p99_ms"] == pytest.approx(allowed, rel=0.01)


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="memory is read from /proc")
def test_hostile_uploads_are_counted_by_kind(setup, pairs):
    result = run_load_test.hostile(replace(setup, scale=0.024), pairs)
    assert result["uploads"] == result["refused_or_answered"] == 12
    assert set(result["kinds"]) == set(hostile_images.KINDS) and result["memory_growth_mb"] >= 0
    assert sum(sum(row["statuses"].values()) for row in result["kinds"].values()) == 12


def test_the_largest_memory_is_seen_after_it_was_given_back():
    memory = server_process.Memory(os.getpid())
    block = np.ones(200 << 20, dtype=np.uint8)
    del block
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
    report_page.write(tmp_path, load_page)
    text = (tmp_path / load_page.PAGE).read_text()
    assert "| 499 of 500 (300 different answers) |" in text and "| 5,120, 0 faults |" in text
    assert "**Provisional**, schema" in text and "**Provisional**, identical" not in text
    assert "overload" not in text and json.loads((tmp_path / load_page.RESULT).read_text())["identical"]
