"""Each setting of a file acts: a real server is set up by one, and refuses what the file says."""

import json
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2 as httpx
import numpy as np
import psutil
import pytest

from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from sightline.serve.deploy import environments
from sightline.serve.log_writer import JsonLines, Printed, json_line
from sightline.serve.login import COOKIE
from tests.serve.test_batching import Slow
from tests.serve.test_connections import WAIT_S, link, until_closed
from tests.serve.test_middleware import KEY, sightline
from tests.support.serving import chat, png, running, url

WIDE = url(png(np.zeros((8, 16, 3), np.uint8)))
SEARCH = "/search", {"text": "a cup", "k": 2}
CHAT = "/v1/chat/completions"
SITE = "https://app.example"


@contextmanager
def served(model, folder, text, keys=()):
    """The address of a server that is set up by a file with this text."""
    file = folder / "mine.yaml"
    file.write_text(f"extends: dev\n{text}\n")
    with running(create_app(model, environments.load(str(file)), keys)) as address:
        yield address


def post(address, path, body, **more):
    return httpx.post(address + path, json=body, timeout=60, **more)


@pytest.mark.parametrize(
    ("limit", "path", "body", "status", "code"),
    [
        ("body_bytes: 20", *SEARCH, 413, "body_too_large"),
        ("inside_bytes: 20", *SEARCH, 429, "overloaded"),
        ("picture_bytes: 20", CHAT, chat(), 413, "image_too_large"),
        ("pixels: 20", CHAT, chat(), 413, "image_too_large"),
        ("aspect: 1", CHAT, chat(picture=WIDE), 400, "invalid_image"),
        ("results: 1", *SEARCH, 400, "less_than_equal"),
        ("results: 1", "/similar", {"id": "x", "k": 2}, 400, "less_than_equal"),
        ("captions: 1", CHAT, chat(sightline={"retrieval": 2}), 400, "less_than_equal"),
        ("inputs: 1", "/v1/embeddings", {"model": "sightline", "input": ["a", "b"]}, 400, "too_long"),
    ],
)
def test_a_request_beyond_a_limit_of_the_file_is_refused(model, tmp_path, limit, path, body, status, code):
    with served(model, tmp_path, f"limits: {{{limit}}}") as address:
        refused = post(address, path, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    with served(model, tmp_path, "") as address:
        assert post(address, path, body).json().get("error", {}).get("code") in (None, "unknown_item")


def test_a_search_without_a_number_keeps_to_the_limit(model, tmp_path):
    with served(model, tmp_path, "limits: {results: 3}") as address:
        assert len(post(address, "/search", {"text": "a cup"}).json()["results"]) == 3
        told = httpx.get(f"{address}/openapi.json").json()["components"]["schemas"]
        assert told["SearchRequest"]["properties"]["k"] == {
            "default": 3, "maximum": 3, "minimum": 1, "title": "K", "type": "integer",
        }  # fmt: skip


def test_queue_and_time_are_those_of_the_file(model, tmp_path):
    with served(Slow(model, 0.5), tmp_path, "limits: {queue: 1}") as address:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: post(address, CHAT, chat()).status_code, range(4)))
        assert 429 in answers and 200 in answers
    with served(Slow(model, 0.8), tmp_path, "limits: {timeout_s: 0.3}") as address:
        assert post(address, CHAT, chat()).status_code == 504


@pytest.mark.parametrize(
    ("limits", "sent", "said"),
    [
        ("header_bytes: 9000", b"GET /live HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000, b"431"),
        ("header_s: 0.3", b"GET /live HTTP/1.1\r\nHost: localhost\r\n", b"408"),
        ("idle_s: 1", b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n", b"200"),
    ],
)
def test_headers_and_idle_connections_end_as_the_file_says(model, tmp_path, limits, sent, said):
    with served(model, tmp_path, f"limits: {{{limits}}}") as address, link(address) as connection:
        connection.sendall(sent)
        assert until_closed(connection).split()[1] == said


@pytest.mark.parametrize("limit", ["connections", "peer_connections"])
def test_a_connection_too_many_ends_the_one_that_waits(model, tmp_path, limit):
    with served(model, tmp_path, f"limits: {{{limit}: 1}}") as address, link(address) as first:
        first.settimeout(WAIT_S)
        with link(address):
            assert until_closed(first) == b""


def test_stopping_waits_as_long_as_the_file_says(bundle, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "extends: dev\npage: false\nlimits: {drain_s: 0.2, timeout_s: 300.0}\n"
    )
    with started(bundle, tmp_path) as (process, address), link(address) as connection:
        connection.sendall(
            b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400
        )  # nobody reads them
        time.sleep(0.5)
        process.terminate()
        assert process.wait(WAIT_S) == 0


@contextmanager
def started(bundle, folder, *words, keys=False):
    """(process, address) of `sightline serve` with the file mine.yaml of a folder, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = ["--bundle", bundle, "--env", folder / "mine.yaml", "--port", port, *words]
    process, address = sightline("serve", *given), f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                httpx.get(f"{address}/ready")
                break
            except httpx.TransportError:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.1)
        yield process, address
    finally:
        process.kill()
        process.communicate()


def test_prod_serves_with_keys_and_logs_nothing_but_json(bundle, tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: prod\nhost: 127.0.0.1\nworkers: {decoders: 1}\n")
    (tmp_path / "keys.env").write_text(f"KEY={KEY}\n")
    with started(bundle, tmp_path, "--keys", tmp_path / "keys.env") as (process, address):
        head = {"Authorization": f"Bearer {KEY}"}
        with ThreadPoolExecutor(4) as pool:
            send = lambda number: post(address, CHAT, chat(picture=number), headers=head).status_code  # noqa: E731
            assert list(pool.map(send, range(4))) == [200] * 4
        assert len(psutil.Process(process.pid).children()) == 1  # that decode pictures
        assert httpx.get(address + "/", headers=head).status_code == 404  # no page
        assert httpx.get(f"{address}/v1/models").status_code == 401
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
    lines = [json.loads(line) for line in said.splitlines()]
    assert lines[0]["message"] == f"{address}/v1 answers as OpenAI's API; Ctrl-C ends it"
    requests = [line for line in lines if line.get("route") == CHAT]
    assert len(requests) == 4 and {type(line["ms"]) for line in requests} == {float}
    assert {(line["level"], line["logger"], line["method"], line["status"]) for line in requests} == {
        ("info", "sightline.access", "POST", 200)
    }


def test_metrics_page_and_lines_of_requests_can_be_off(bundle, tmp_path):
    text = "extends: dev\nmetrics: false\npage: false\nlog: {level: warning}\n"
    (tmp_path / "mine.yaml").write_text(text)
    with started(bundle, tmp_path) as (process, address):
        assert httpx.get(f"{address}/metrics").status_code == httpx.get(f"{address}/").status_code == 404
        assert "/metrics" not in httpx.get(f"{address}/openapi.json").json()["paths"]
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert said.splitlines() == [f"serve: {address}/v1 answers as OpenAI's API; Ctrl-C ends it"]


def test_with_keys_the_page_has_a_login_and_no_key_is_logged(bundle, tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: prod\nhost: 127.0.0.1\npage: true\nroot_path: /vision\n")
    (tmp_path / "keys.env").write_text(f"{KEY}\n")
    with started(bundle, tmp_path, "--keys", tmp_path / "keys.env") as (process, address):
        with httpx.Client(base_url=f"{address}/vision", timeout=60) as client:
            assert client.get("/").headers["location"] == "/vision/login"
            for key, status in (("wrong-key-wrong-key", 401), (KEY, 303)):
                assert client.post("/login", data={"key": key}).status_code == status
            session = client.cookies[COOKIE]
            assert client.get("/").status_code == 200
        process.terminate()
        _, said = process.communicate(timeout=60)
    lines = [json.loads(line) for line in said.splitlines()]
    assert f"{address}/vision/ shows the page after a login" in [line["message"] for line in lines]
    asked = [(line["method"], line["route"], line["status"]) for line in lines if "route" in line]
    assert [one for one in asked if one[1] != "/ready"] == [
        ("GET", "other", 303), ("POST", "/login", 401), ("POST", "/login", 303), ("GET", "other", 200),
    ]  # fmt: skip
    assert not [word for word in (KEY, "wrong-key", session) if word in said]


@pytest.mark.parametrize("keys", [(), (KEY,)])
def test_only_the_named_hosts_are_answered(model, tmp_path, keys):
    key = {"Authorization": f"Bearer {KEY}"}
    with served(model, tmp_path, "hosts: [a.example]", keys) as address:
        for host, status in (
            ("a.example", 200),
            ("A.example:80", 200),
            ("localhost", 200),
            ("b.example", 403),
        ):
            answer = httpx.get(f"{address}/v1/models", headers={"Host": host} | key)
            assert answer.status_code == status, host


def test_probes_of_a_server_on_every_address_reach_it_by_loopback(model, tmp_path):
    with served(model, tmp_path, "host: 0.0.0.0\nhosts: [a.example]", (KEY,)) as address:
        assert httpx.get(f"{address}/live").status_code == 200
        assert httpx.get(f"{address}/live", headers={"Host": "10.0.0.1"}).status_code == 403


def test_pages_of_a_named_origin_may_use_the_api_and_no_others(model, tmp_path):
    with served(model, tmp_path, f"origins: ['{SITE}']", (KEY,)) as address:
        browser = {"Origin": SITE, "Sec-Fetch-Site": "cross-site"}
        asked = {"Access-Control-Request-Method": "POST"}
        names = {"Access-Control-Request-Headers": "authorization,content-type,x-stainless-os"}
        before = httpx.options(address + CHAT, headers=browser | asked | names)
        assert before.status_code == 204 and before.headers["access-control-allow-origin"] == SITE
        assert before.headers["access-control-allow-methods"] == "GET, POST"
        assert before.headers["access-control-allow-headers"] == names["Access-Control-Request-Headers"]
        key = {"Authorization": f"Bearer {KEY}"}
        answer = post(address, CHAT, chat(), headers=browser | key)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SITE)
        assert answer.headers["vary"] == "Origin"
        refused = post(address, CHAT, chat(), headers=browser)  # a page can read why
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, SITE)
        for other in ({"Origin": "https://other.example"}, {"Sec-Fetch-Site": "cross-site"}):
            for answer in (
                httpx.options(address + CHAT, headers=other | asked),
                post(address, CHAT, chat(), headers=other | key),
            ):
                assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_the_model_has_the_batch_and_the_threads_of_the_file(bundle, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "extends: dev\npage: false\nlimits: {batch: 3}\nworkers: {model_threads: 2}\n"
    )
    one, two = Model.load(bundle, 3), Model.load(bundle, 3, threads=2)
    rows = [one.session.pixels([np.full((8, 8, 3), 40 * row, np.uint8)])[0] for row in range(3)]
    for (expected_E, *_), (found_E, *_) in zip(one.pictures(rows), two.pictures(rows), strict=True):
        np.testing.assert_allclose(found_E, expected_E, atol=1e-5)  # float32 in another order
    with started(bundle, tmp_path) as (_, address):
        given = {"model": "sightline", "input": [url(png(np.full((8, 8, 3), 40, np.uint8)))]}
        found = post(address, "/v1/embeddings", given).json()["data"][0]["embedding"]
        np.testing.assert_allclose(found, one.pictures(rows[1:2])[0][0], atol=1e-5)


def test_what_packages_print_becomes_lines_of_json(capfd):
    logger, handler = logging.getLogger("print"), logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    try:
        stream = Printed()
        stream.write("half a ")
        stream.write('line\nanother "line"\n\n')
        try:
            raise ValueError("why")
        except ValueError:
            logger.exception("it failed")
    finally:
        logger.removeHandler(handler)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == ["half a line", 'another "line"', "it failed"]
    assert lines[2]["traceback"].endswith("ValueError: why")
    assert json.loads(json_line("é\n"))["message"] == "é\n"
