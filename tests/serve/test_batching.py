"""Answers under load are the answers alone; too much load is refused at once, and nothing hangs."""

import asyncio
import json
import random
import socket
import threading
import time
from contextlib import ExitStack

import httpx2 as httpx
import pytest

from sightline.serve.api import create_app
from sightline.serve.batcher import Ticket, Worker
from tests.support import tiny
from tests.support.serving import chat, deployed, png, running, url

SETTINGS = (
    {},
    {"sightline": {"spin": True}},
    {"sightline": {"spin": {"keep": 0.25, "alpha": 0.0, "layers": [0]}, "retrieval": 2}},
    {"temperature": 1.3, "seed": 11},
    {"max_tokens": 2},
    {"sightline": {"explanation": True}},
)


def bodies(count):
    return [
        chat(tiny.QUESTIONS[number % 4], picture=number % 3, **SETTINGS[number % len(SETTINGS)])
        for number in range(count)
    ]


def core(answer):
    """An answer without what is drawn for every request: its id and its time."""
    return json.dumps({key: answer[key] for key in answer if key not in ("id", "created")}, sort_keys=True)


def send_all(address, requests, timeout=60):
    """Status and body of every request, all sent at once."""

    async def main():
        limits = httpx.Limits(max_connections=len(requests))
        async with httpx.AsyncClient(base_url=address, timeout=timeout, limits=limits) as client:
            found = await asyncio.gather(*(client.post(path, json=body) for path, body in requests))
        return [(answer.status_code, answer.json(), answer.headers) for answer in found]

    return asyncio.run(main())


def test_a_hundred_at_once_get_the_answers_they_get_alone(shared, client):
    asked = bodies(100)
    asked += [body | {"stream": False} for body in asked[:4]]
    random.Random(0).shuffle(asked)
    searches = [
        ("/search", {"text": tiny.CAPTIONS[0], "k": 3}),
        ("/search", {"image": url(png(tiny.pictures(1)[0]))}),
    ]
    found = send_all(shared, [("/v1/chat/completions", body) for body in asked] + searches * 5)
    assert {status for status, _, _ in found} == {200}
    alone = {}
    for body, (_, together, _) in zip(asked, found, strict=False):
        key = json.dumps(body, sort_keys=True)
        if key not in alone:
            alone[key] = core(client.post("/v1/chat/completions", json=body).json())
        assert core(together) == alone[key]
    assert len(set(alone.values())) > 8
    for (path, body), (_, together, _) in zip(searches * 5, found[104:], strict=True):
        assert together == client.post(path, json=body).json()


class Slow:
    """The model with every answer taking a while."""

    def __init__(self, model, seconds):
        self._model, self._seconds = model, seconds

    def __getattr__(self, name):
        return getattr(self._model, name)

    def answer(self, *values):
        time.sleep(self._seconds)
        return self._model.answer(*values)


def test_beyond_the_queue_is_429_and_nobody_hangs(model):
    with running(create_app(Slow(model, 0.3), deployed(batch=4, queue=8))) as address:
        found = send_all(address, [("/v1/chat/completions", body) for body in bodies(60)])
        counts = {status: sum(one == status for one, _, _ in found) for status, _, _ in found}
        assert counts.keys() == {200, 429} and counts[200] >= 8
        refused = [(body, headers) for status, body, headers in found if status == 429]
        assert all(headers["retry-after"] == "1" for _, headers in refused)
        assert refused[0][0]["error"]["type"] == "rate_limit_error"
        assert send_all(address, [("/v1/chat/completions", bodies(1)[0])])[0][0] == 200


def test_too_slow_is_504_and_the_next_is_answered(model):
    slow = Slow(model, 1.0)
    with running(create_app(slow, deployed(batch=4, timeout_s=0.4))) as address:
        for stream in (False, True):
            status, body, _ = send_all(address, [("/v1/chat/completions", chat(stream=stream))])[0]
            assert (status, body["error"]["code"]) == (504, "timeout")
        slow._seconds = 0.0
        time.sleep(2.0)  # what was given up is still on the model's thread
        assert send_all(address, [("/v1/chat/completions", chat())])[0][0] == 200


def test_a_failing_model_is_500_and_the_next_is_answered(model):
    class Broken(Slow):
        def answer(self, *values):
            if self._seconds:
                raise RuntimeError("the graph exploded")
            return self._model.answer(*values)

    broken = Broken(model, 1.0)
    with running(create_app(broken, deployed(batch=4))) as address:
        status, body, _ = send_all(address, [("/v1/chat/completions", chat())])[0]
        assert status == 500 and "exploded" not in json.dumps(body)
        broken._seconds = 0.0
        assert send_all(address, [("/v1/chat/completions", chat())])[0][0] == 200


def test_what_waits_for_a_client_that_left_is_never_computed(model):
    class Counting(Slow):
        asked = 0

        def answer(self, rows, *values):
            self.asked += len(rows)
            return super().answer(rows, *values)

    slow, body = Counting(model, 0.5), json.dumps(chat()).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    app = create_app(slow, deployed(batch=1, queue=12))
    with running(app) as address:
        peer = ("127.0.0.1", int(address.rpartition(":")[2]))
        with ExitStack() as left:
            for _ in range(8):
                connection = left.enter_context(socket.create_connection(peer))
                connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
            end = time.monotonic() + 10
            while app.state.middleware.inside < 8 and time.monotonic() < end:
                time.sleep(0.01)
            assert app.state.middleware.inside == 8
        assert send_all(address, [("/v1/chat/completions", chat())])[0][0] == 200
        assert app.state.middleware.inside == 0
    assert slow.asked <= 3  # the one at work, perhaps one that was taken meanwhile, and the last


def test_a_client_that_leaves_frees_its_place(model):
    app = create_app(Slow(model, 0.2), deployed(batch=4, queue=1))
    with running(app) as address:
        with httpx.Client(base_url=address) as client:
            with client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as answer:
                next(answer.iter_lines())
        end = time.monotonic() + 10
        while app.state.middleware.inside and time.monotonic() < end:
            time.sleep(0.05)
        assert send_all(address, [("/v1/chat/completions", chat())])[0][0] == 200


@pytest.mark.parametrize("stream", [False, True])
def test_stopping_answers_those_inside_and_refuses_newcomers(model, stream):
    app = create_app(Slow(model, 0.5), deployed(batch=4))
    with running(app) as address, httpx.Client(base_url=address, timeout=30) as client:

        async def main():
            async with httpx.AsyncClient(base_url=address, timeout=30) as other:
                under_way = asyncio.create_task(other.post("/v1/chat/completions", json=chat(stream=stream)))
                while not app.state.middleware.inside:
                    await asyncio.sleep(0.01)
                app.state.middleware.draining = True
                assert (await asyncio.to_thread(client.get, "/ready")).status_code == 503
                assert (await asyncio.to_thread(client.get, "/live")).status_code == 200
                refused = await asyncio.to_thread(client.post, "/v1/chat/completions", json=chat())
                assert refused.status_code == 503 and refused.headers["retry-after"] == "5"
                return await under_way

        assert asyncio.run(main()).status_code == 200


@pytest.mark.parametrize(
    ("fill_s", "batches"), [(0.0, [["first"], ["second"]]), (60.0, [["first", "second"]])]
)
def test_a_batch_waits_as_long_as_it_is_told_for_rows_on_their_way(fill_s, batches):
    """The second row is on its way until the first is answered, or waits for it."""
    found = []

    def run(batch, emit):
        found.append([ticket.row for ticket in batch])
        return [None] * len(batch)

    async def main():
        worker, ready = Worker(run, 2, fill_s, 1), threading.Event()
        second = Ticket("key", prepare=lambda: ready.wait(60) and "second")
        worker.put(second)
        first = worker.put(Ticket("key", "first"))
        if not fill_s:
            await first.done
        ready.set()
        await asyncio.gather(first.done, second.done)
        worker.close()

    asyncio.run(main())
    assert found == batches
