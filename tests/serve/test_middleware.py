"""Keys, limits, host names, errors, metrics, logs: what every request passes."""

import base64
import json
import logging
import signal
import subprocess
import threading
import time

import httpx2 as httpx
import numpy as np
import pytest

from sightline.serve import server as run
from sightline.serve.api import create_app
from tests.support import command_line, tiny
from tests.support.serving import chat, deployed, png, running, url

KEY, OTHER = "a-long-enough-key", "another-long-key-0"


def sightline(*words, **more):
    command, env = command_line.command(*words, torch=False), command_line.environment()
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def test_a_key_is_asked_for_everywhere_but_live_and_ready(model):
    with running(create_app(model, deployed(batch=4), [KEY, OTHER])) as address:
        with httpx.Client(base_url=address) as client:
            assert client.get("/live").status_code == client.get("/ready").status_code == 200
            for path in ("/v1/models", "/metrics", "/openapi.json"):
                assert client.get(path).status_code == 401
            refused = client.post("/v1/chat/completions", json=chat())
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["error"]["code"] == "invalid_api_key"
            for wrong in (f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY, "Bearer"):
                assert client.get("/v1/models", headers={"Authorization": wrong}).status_code == 401
            for right in (KEY, OTHER):
                head = {"Authorization": f"Bearer {right}"}
                assert client.get("/v1/models", headers=head).status_code == 200
                assert client.post("/v1/chat/completions", json=chat(), headers=head).status_code == 200


def test_keys_are_read_from_an_environment_file(tmp_path):
    file = tmp_path / "keys.env"
    file.write_text(f"# for the page\nSIGHTLINE_KEY='{KEY}'\n\n{OTHER}=\n")
    assert run.read_keys(file) == [KEY, OTHER + "="]
    for text, word in (
        ("", "no API key"),
        ("short\n", "line 1"),
        ("# x\nhas a space in the key\n", "line 2"),
        ("SIGHTLINE_SERVER_API_KEY=\n", "line 1"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=word):
            run.read_keys(file)


@pytest.mark.parametrize("count", range(16, 40))
def test_a_key_in_base64_is_itself_however_it_is_padded(tmp_path, count):
    draw, file = np.random.default_rng(count), tmp_path / "keys.env"
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        key = encode(draw.bytes(count)).decode()
        for form in ("{}", "KEY={}", "export KEY={}", "KEY = '{}'", "\ufeff{}\r"):
            file.write_text(form.format(key) + "\n", encoding="utf-8")
            assert run.read_keys(file) == [key]


def test_a_public_address_without_a_key_is_refused(bundle):
    process = sightline("serve", "--bundle", bundle, "--host", "0.0.0.0")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "--keys FILE" in said


def test_bodies_are_limited_however_they_are_announced(model):
    with running(create_app(model, deployed(batch=4, body_bytes=10_000))) as address:
        with httpx.Client(base_url=address) as client:
            large = json.dumps(chat() | {"user": "x" * 20_000}).encode()
            head = {"Content-Type": "application/json"}

            def pieces():
                for start in range(0, len(large), 1000):
                    yield large[start : start + 1000]

            for content in (large, pieces()):
                refused = client.post("/v1/chat/completions", content=content, headers=head)
                assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
            assert client.post("/v1/chat/completions", json=chat()).status_code == 200


def test_bodies_together_are_limited(model):
    app = create_app(model, deployed(batch=4, inside_bytes=40_000))
    with running(app) as address, httpx.Client(base_url=address) as client:
        refused = client.post("/v1/chat/completions", json=chat() | {"user": "x" * 50_000})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
        end = time.monotonic() + 10  # the answer is there before all of the request's own is tidied up
        while app.state.middleware.bytes_inside and time.monotonic() < end:
            time.sleep(0.01)
        assert app.state.middleware.bytes_inside == app.state.middleware.inside == 0


def test_texts_are_limited(client):
    for path, body in (
        ("/v1/embeddings", {"model": "sightline", "input": ["a", "b" * 10_001]}),
        ("/search", {"text": "b" * 10_001}),
        ("/v1/chat/completions", chat("b" * 10_001)),
        ("/v1/embeddings", {"model": "sightline", "input": ["a"] * 65}),
        ("/v1/embeddings", {"model": "sightline", "input": []}),
    ):
        assert client.post(path, json=body).status_code == 400
    two = chat("b" * 6_000)
    two["messages"][0]["content"].append({"type": "text", "text": "c" * 6_000})
    assert client.post("/v1/chat/completions", json=two).json()["error"]["code"] == "too_long"


def test_a_taken_port_is_said(bundle, shared):
    process = sightline("serve", "--bundle", bundle, "--port", shared.rsplit(":", 1)[1])
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "try another --port" in said


def test_a_body_that_never_ends_is_given_up(model):
    with running(create_app(model, deployed(batch=4, timeout_s=0.5))) as address:

        def drip():
            for _ in range(8):
                yield b" "
                time.sleep(0.2)

        with httpx.Client(base_url=address, timeout=30) as client:
            head = {"Content-Type": "application/json"}
            refused = client.post("/search", content=drip(), headers=head)
            assert (refused.status_code, refused.json()["error"]["code"]) == (408, "timeout")


@pytest.mark.parametrize(
    "content,kind,status",
    [
        (b"{}", "text/plain", 415),  # what a page of another site may send without being asked
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"text": "\xff"}', "application/json", 400),
        (b'{"text": "\\ud800"}', "application/json", 400),
        (b'{"text": 5}', "application/json", 400),
        (b'{"text": "a", "k": NaN}', "application/json", 400),
        (b'{"text": "a", "k": 1e999}', "application/json", 400),
        (b'{"text": "a", "k": 0}', "application/json", 400),
        (b'{"text": "a", "k": true}', "application/json", 400),
        (b'{"text": "a", "kk": 1}', "application/json", 400),
        (b'{"text": "a", "image": "data:"}', "application/json", 400),
        (b"{}", "application/json", 400),
        (b"null", "application/json", 400),
    ],
)
def test_what_is_no_request_is_refused_in_openais_form(client, content, kind, status):
    refused = client.post("/search", content=content, headers={"Content-Type": kind})
    assert refused.status_code == status
    error = refused.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"


SECRET = "my-secret-0123456789"


@pytest.mark.parametrize(
    ("path", "body", "field", "word"),
    [
        ("/search", {"text": "a", SECRET: 1}, "", "unknown field; expected only text, image, k, kind"),
        ("/explain", {"image": "x", "spin": {SECRET: 1}}, "spin", "expected only keep, top_k, alpha, layers"),
        ("/search", {"text": "a", "kind": SECRET}, "kind", "'image', 'text' or 'fused'"),
        ("/search", {"text": 7, SECRET: {SECRET: SECRET}}, "", "unknown field"),
        ("/similar", {"id": SECRET}, "id", "no fused vector"),
        ("/v1/embeddings", {"model": SECRET, "input": "a"}, "model", "no such model"),
        ("/v1/embeddings", {"model": "sightline", "input": "data:image/" + SECRET}, None, "data URL"),
        ("/explain", {"image": SECRET}, None, "fetches no pictures"),
        ("/explain", {"image": "x", "spin": {"layers": [1] * 10**5}}, "spin.layers", "at most 256"),
    ],
)
def test_errors_never_repeat_names_or_values_of_a_client(client, caplog, path, body, field, word):
    refused = client.post(path, json=body)
    assert refused.status_code in (400, 404)
    error = refused.json()["error"]
    assert SECRET not in refused.text and len(refused.text) < 500 and word in error["message"]
    assert error["param"] == field and SECRET not in caplog.text


def test_a_part_of_an_unknown_kind_is_told_without_repeating_it(client):
    body = chat()
    body["messages"][0]["content"][0]["type"] = SECRET
    error = client.post("/v1/chat/completions", json=body).json()["error"]
    assert "'text', 'image_url'" in error["message"] and SECRET not in str(error)
    assert error["param"] == "messages.0.content.0"


def test_unknown_paths_and_methods_have_the_same_form(client):
    assert client.get("/nothing").json()["error"]["type"] == "not_found_error"
    refused = client.get("/search")
    assert refused.status_code == 405 and refused.json()["error"]["message"] == "Method Not Allowed"


def test_similar_items_leave_the_item_out(client):
    found = client.post("/similar", json={"id": "item-3", "k": 4, "kind": "image"}).json()["results"]
    assert len(found) == 4 and "item-3" not in [hit["id"] for hit in found]
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in found), reverse=True)
    assert client.post("/similar", json={"id": "nobody"}).status_code == 404


def test_explain_shows_every_word(client, model):
    body = {"image": url(png(tiny.pictures(1)[0])), "question": "What color is the ball?", "spin": True}
    told = client.post("/explain", json=body).json()
    assert "".join(word["word"] for word in told["explanation"]) == told["answer"].replace(" ", "")
    for word in told["explanation"]:
        assert 0 <= word["image_share"] <= 1
        assert sum(share for _, share in word["question"]) == pytest.approx(1, abs=1e-3)


def test_metrics_count_and_watch(model):
    with running(create_app(model, deployed(batch=4))) as address, httpx.Client(base_url=address) as client:
        answer = client.post("/v1/chat/completions", json=chat(sightline={"spin": True})).json()
        client.post("/v1/chat/completions", json={"model": "x"})
        client.get("/made/up/1")
        client.get("/made/up/2")
        figures = dict(
            line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#"
        )
        routes = 'sightline_requests_total{route="%s",status="%s"}'
        assert figures[routes % ("/v1/chat/completions", 200)] == "1.0"
        assert figures[routes % ("/v1/chat/completions", 400)] == "1.0"
        assert figures[routes % ("other", 404)] == "2.0"
        assert figures['sightline_latency_seconds_count{route="/v1/chat/completions"}'] == "2.0"
        assert float(figures["sightline_tokens_total"]) == answer["usage"]["completion_tokens"]
        told = answer["sightline"]
        assert float(figures["sightline_silenced_head_ratio"]) == pytest.approx(
            told["silenced_heads"], abs=1e-4
        )
        assert float(figures["sightline_domain_score"]) == pytest.approx(told["domain_score"], abs=0.01)
        assert float(figures["sightline_embedding_drift"]) == pytest.approx(told["domain_score"], abs=0.01)
        assert float(figures["sightline_out_of_domain_ratio"]) == told["out_of_domain"]
        assert {"sightline_queue_depth", "sightline_requests_inside"} <= figures.keys()


def test_logs_hold_no_content(client, caplog):
    with caplog.at_level(logging.DEBUG):
        client.post("/v1/chat/completions", json=chat("my very secret question"))
        client.get("/a-secret-path?secret=1")
        client.get("/live")
    mine = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert any("POST /v1/chat/completions 200" in line for line in mine)
    assert not any("secret" in line or "base64" in line for line in mine)


@pytest.fixture
def process(bundle):
    """A server as users start it, and its address."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = sightline("serve", "--bundle", bundle, "--port", port)
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            httpx.get(f"{address}/ready")
            break
        except httpx.TransportError:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
    yield process, address
    process.kill()
    process.wait()


def test_the_command_serves_without_torch_and_ends_by_a_signal(process):
    server, address = process
    found = []
    asked = [
        threading.Thread(
            target=lambda: found.append(httpx.post(f"{address}/v1/chat/completions", json=chat(), timeout=60))
        )
        for _ in range(8)
    ]
    for thread in asked:
        thread.start()
    found.append(httpx.post(f"{address}/explain", json={"image": url(png(tiny.pictures(1)[0]))}, timeout=60))
    server.send_signal(signal.SIGTERM)
    for thread in asked:
        thread.join()
    _, said = server.communicate(timeout=60)
    assert server.returncode == 0, said
    assert [answer.status_code for answer in found] == [200] * 9
    assert "POST /v1/chat/completions 200" in said and "cup" not in said
