"""Connections that are too many, too long, too slow or never read from; a log that nobody reads."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import httpx2 as httpx
import pytest

from sightline.serve.api import create_app
from sightline.serve.connections import PIECE, peer_of
from sightline.serve.log_writer import LogWriter
from sightline.serve.middleware import RequestMiddleware
from sightline.serve.prometheus import Metrics
from tests.serve.test_batching import Slow
from tests.serve.test_middleware import sightline
from tests.support.serving import chat, deployed, running

WAIT_S = 30.0  # at most, for what happens after a fraction of a second
START = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def served(model, **limits):
    """(application, address) of a server with these limits."""
    app = create_app(model, deployed(batch=4, **limits))
    with running(app) as address:
        yield app, address


@pytest.fixture(scope="module")
def short(model):
    """The same, with limits of time below a second."""
    with served(model, header_s=0.4, idle_s=1, write_s=0.5, timeout_s=0.8, header_bytes=20_000) as pair:
        yield pair


def link(address, **options):
    host, port = address.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.settimeout(WAIT_S)
    for name, value in options.items():
        connection.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    connection.connect((host, int(port)))
    return connection


def until_closed(connection):
    """All that comes until the server closes."""
    said = b""
    try:
        while more := connection.recv(65536):
            said += more
    except ConnectionError:
        pass
    return said


def refused(app, why):
    counter = app.state.middleware.metrics.refused_connections.labels(why)
    return counter._value.get()


def flood(connection, piece, count):
    """Bytes that are taken before the server closes, and its answer."""
    sent = 0
    try:
        for _ in range(count):
            connection.sendall(piece)
            sent += len(piece)
    except ConnectionError:
        pass
    return sent, until_closed(connection)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /live HTTP/1.1\r\nHost: localhost\r\nX: ", b"a" * 1000),
        (b"GET /live HTTP/1.1\r\nHost: localhost\r\n", b"X: a\r\n" * 100),
        (b"GET /", b"a" * 1000),
        (b"", b"A" * 1000),
        (CHUNKED + b"0\r\n", b"X: a\r\n" * 100),
        (CHUNKED + b"0\r\nX: ", b"a" * 1000),
        (CHUNKED + b"1;x=", b"a" * 1000),
        (CHUNKED, b"0" * 1000),
        (b"", b"\r\n" * 500),
    ],
    ids=["a header", "headers", "a target", "a method", "trailers", "a trailer", "an extension", "a size",
         "lines"],
)  # fmt: skip
def test_nothing_goes_on_without_an_end(short, begin, piece):
    app, address = short
    with link(address) as connection:
        connection.sendall(begin)
        sent, said = flood(connection, piece, 20_000)
    # What the system takes before the server reads it comes on top.
    assert sent < 8 << 20
    assert not said or said.split()[1] in (b"431", b"400")
    assert httpx.get(f"{address}/live").status_code == 200


@pytest.mark.parametrize("over", [0, 1])
def test_headers_of_the_allowed_length_are_answered(short, over):
    app, address = short
    begin = b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: "
    length = app.state.middleware.limits.header_bytes + over * PIECE
    with link(address) as connection:
        connection.sendall(begin + b"a" * (length - len(begin) - 4) + b"\r\n\r\n")
        said = until_closed(connection)
    assert said.split()[1] == (b"431" if over else b"200")
    if over:
        assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "headers_too_large"


def test_a_large_body_in_small_chunks_is_no_header(model):
    with served(model, header_bytes=4096) as (_, address), link(address) as connection:
        body = json.dumps({"text": "a cup", "k": 1}).encode() + b" " * 20_000
        connection.sendall(CHUNKED)
        connection.sendall(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert b" 200 " in connection.recv(65536)


@pytest.mark.parametrize("said", [b"", b"GET /live HTTP/1.1\r\nHost: local", b"G"])
def test_headers_that_do_not_come_are_not_waited_for(short, said):
    app, address = short
    with link(address) as connection:
        connection.sendall(said)
        answer = until_closed(connection)
    assert not said or json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "timeout"


def test_headers_a_byte_at_a_time_are_not_waited_for(short):
    app, address = short
    before = refused(app, "header_time")
    with link(address) as connection:
        connection.sendall(b"GET /")
        with pytest.raises(ConnectionError):
            for _ in range(int(WAIT_S * 20)):
                connection.sendall(b"a")
                time.sleep(0.05)
    assert refused(app, "header_time") == before + 1


def test_the_second_request_of_a_connection_has_limits_too(short):
    _, address = short
    whole = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for rest in (b"", b"GET /live HT"):
        with link(address) as connection:
            connection.sendall(whole + rest)
            assert until_closed(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_nobody_waits_for_ends(short):
    """The answer is made from the headers alone; the body goes on."""
    _, address = short
    for head in (b"POST /nowhere HTTP/1.1", b"GET /live HTTP/1.1"):
        with link(address) as connection:
            connection.sendall(head + b"\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 ")
            with pytest.raises(ConnectionError):
                for _ in range(int(WAIT_S * 20)):
                    connection.sendall(b"a")
                    time.sleep(0.05)


def test_slow_bodies_take_no_place(model):
    body = json.dumps({"text": "a cup"}).encode()
    with served(model, queue=1) as (app, address), ExitStack() as stack:
        slow = [stack.enter_context(link(address)) for _ in range(20)]
        for connection in slow:
            connection.sendall(START + b"Content-Length: %d\r\n\r\n{" % len(body))
        assert httpx.post(f"{address}/search", json={"text": "a cup"}, timeout=60).status_code == 200
        assert app.state.middleware.inside == 0
        slow[0].sendall(body[1:])
        assert slow[0].recv(65536).startswith(b"HTTP/1.1 200")


def test_answers_that_nobody_reads_are_given_up(model):
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(model, write_s=1.0) as (app, address), ExitStack() as stack:
        silent = [stack.enter_context(link(address, SO_RCVBUF=4096)) for _ in range(4)]
        for connection in silent:
            connection.sendall(request * 1000)
        wait_for(lambda: refused(app, "write_time") == 4)
        assert httpx.post(f"{address}/search", json={"text": "a cup"}, timeout=60).status_code == 200


@pytest.mark.parametrize("length", [[(b"Content-Length", b"5")], []])
def test_an_answer_that_nobody_reads_keeps_no_place(model, length):
    """The application has made its answer, of which the client reads nothing."""

    async def answer(scope, receive, send):
        assert middleware.inside == 1
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"whole"})

    async def main():
        sent = []

        async def send(message):
            sent.append(message)
            if length or message["type"] == "http.response.body":
                await asyncio.Event().wait()

        async def receive():
            return {"type": "http.request", "body": b"{}"}

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/search", "headers": headers}
        task = asyncio.create_task(middleware.around(answer)(scope, receive, send))
        while not sent or middleware.inside:
            await asyncio.sleep(0)
        unread = not task.done()
        task.cancel()
        return unread

    middleware = RequestMiddleware(deployed(), Metrics(model, 1), [], {"/search": ["post"]})
    assert asyncio.run(asyncio.wait_for(main(), WAIT_S)), "the answer was read"


def wait_for(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("limit", ["connections", "peer_connections"])
def test_who_waits_longest_makes_room_for_a_newcomer(model, limit):
    with served(model, **{limit: 5}) as (app, address), ExitStack() as stack:
        silent = [stack.enter_context(link(address)) for _ in range(12)]
        assert httpx.get(f"{address}/live").status_code == 200
        assert [until_closed(connection) for connection in silent[:7]] == [b""] * 7
        assert refused(app, "connections") == 8


def test_nobody_who_asked_is_turned_out(model):
    with served(Slow(model, 1.0), connections=2) as (app, address), ExitStack() as stack:
        found = []
        asked = [
            threading.Thread(
                target=lambda: found.append(httpx.post(f"{address}{CHAT}", json=chat(), timeout=60))
            )
            for _ in range(2)
        ]
        for thread in asked:
            thread.start()
        wait_for(lambda: app.state.middleware.inside == 2)
        said = until_closed(stack.enter_context(link(address)))
        assert said.startswith(b"HTTP/1.1 503") and b"too_many_connections" in said
        for thread in asked:
            thread.join()
        assert [answer.status_code for answer in found] == [200, 200]


CHAT = "/v1/chat/completions"


def test_what_is_not_http_is_refused_in_the_form_of_the_api(short):
    with link(short[1]) as connection:
        connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        said = until_closed(connection)
    assert said.startswith(b"HTTP/1.1 400")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "malformed_request"


def test_a_peer_is_an_address_or_a_network():
    assert peer_of("192.0.2.7") == peer_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert peer_of("2001:db8::1") == peer_of("2001:db8::ffff:1") != peer_of("2001:db8:0:1::1")
    assert peer_of("fe80::1%eth0") == peer_of("fe80::2") and peer_of("::1") == "::1" and peer_of("") == ""


def test_stopping_refuses_a_body_that_is_not_whole(model):
    app = create_app(model, deployed(batch=4))
    with running(app) as address, link(address) as connection:
        connection.sendall(START + b"Content-Length: 100\r\n\r\n{")
        wait_for(lambda: app.state.middleware._reading)
        app.state.middleware.draining = True
        said = until_closed(connection)
    assert said.startswith(b"HTTP/1.1 503") and b'"draining"' in said


def test_figures_tell_of_connections(short):
    text = httpx.get(f"{short[1]}/metrics").text
    assert "\nsightline_connections " in text and "\nsightline_log_dropped_total 0.0" in text


@pytest.fixture
def pipe():
    """(reader, writer) of a pipe that holds one page."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader), os.close(writer)


def test_a_log_that_nobody_reads_drops_lines_and_counts_them(pipe):
    reader, dropped = pipe[0], []
    held = deployed().log.held_bytes
    log = LogWriter(pipe[1], lambda: dropped.append(1), held, str)
    for _ in range(2 * held // 1000):
        log.write("x" * 999 + "\n")
    assert held // 1000 - 2 < len(dropped) <= held // 1000 + 2
    text = b""
    while b"were dropped" not in text:
        text += os.read(reader, 1 << 20)
        if not log._held:
            log.write("the last\n")
    log.close()
    assert b"%d lines of the log were dropped" % len(dropped) in text


def test_the_server_goes_on_where_nobody_reads_its_log(bundle):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = sightline("serve", "--bundle", bundle, "--port", port)
    fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_for(lambda: answers(client))
            statuses = {client.get("/v1/models").status_code for _ in range(500)}
            assert statuses == {200}
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.communicate()


def answers(client):
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False
