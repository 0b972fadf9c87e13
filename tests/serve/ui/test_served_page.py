"""The page as a browser gets it: over a real server, its headers, its routes, what it may and may not do."""

import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from sightline.serve.api import create_app
from sightline.serve.ui import ui_layout
from sightline.serve.ui.mount import FOREIGN, POLICY, mount
from tests.serve.ui.conftest import DEPLOYED, LIMITS
from tests.support import browser, serving, tiny

ADDRESS = re.compile(r"https?://[^\s\"'<>)\\]+")
OWN = re.compile(r"https?://(127\.0\.0\.1|localhost|www\.w3\.org)\b")  # w3.org: names of XML dialects


@pytest.fixture
def client(address):
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


def events(client, name, data, event_data=None, session="test"):
    """Messages of one of the page's events, as Gradio's script asks for them."""
    config = client.get("/config").json()
    place = next(row for row in config["dependencies"] if row["api_name"] == name)
    body = {"data": data, "event_data": event_data, "fn_index": place["id"], "session_hash": session}
    joined = client.post("/gradio_api/queue/join", json=body | {"trigger_id": place["targets"][0][0]})
    assert joined.status_code == 200, joined.text
    told = []
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
        for line in lines.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line[6:]))
    return [line for line in told if line["msg"].startswith("process_")]


def test_the_page_names_no_other_host(client):
    page = client.get("/")
    assert page.status_code == 200 and "Sightline" in page.text
    found = [page.text, client.get("/theme.css").text, json.dumps(client.get("/config").json())]
    sheets = re.findall(r"(?:href|src)=\"([^\"]+\.css[^\"]*)\"", page.text)
    found += [client.get(name.removeprefix(".")).text for name in sheets if not ADDRESS.match(name)]
    for text in found:
        assert [name for name in ADDRESS.findall(text) if not OWN.match(name)] == []
    assert client.get("/config").json()["analytics_enabled"] is False


def test_every_answer_forbids_other_hosts(client):
    for path in ("/", "/config", "/theme.css", "/v1/models", "/nowhere", "/gradio_api/upload"):
        assert client.get(path).headers["content-security-policy"] == POLICY
    sources = {part for rule in POLICY.split("; ") for part in rule.split()[1:]}
    assert sources == {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd", "/file=/etc/passwd",
        "/gradio_api/proxy=https://example.org", "/gradio_api/upload_progress", "/monitoring",
        "/gradio_api/stream/a/b/c", "/gradio_api/runs", "/gradio_api/call/on_ask",
        "/gradio_api/queue/../upload",
    ],
)  # fmt: skip
def test_gradios_doors_for_files_are_shut(client, path):
    answer = client.get(path)
    assert answer.status_code == 404 and "root:" not in answer.text


def test_nothing_is_uploaded_as_a_file(client):
    file = {"files": ("a.png", serving.png(tiny.pictures(1)[0]), "image/png")}
    assert client.post("/gradio_api/upload", files=file).status_code == 404


def test_other_host_names_are_refused(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403


def test_the_api_answers_beside_the_page(client):
    assert client.get("/v1/models").json()["object"] == "list"
    answer = client.post("/v1/chat/completions", json=serving.chat())
    assert answer.status_code == 200
    assert "/gradio_api/queue/join" not in client.get("/openapi.json").json()["paths"]
    for method, path in (("TRACE", "/explain"), ("GET", "/search"), ("PUT", "/live")):
        refused = client.request(method, path)
        assert refused.status_code == 405 and refused.json()["error"] and refused.headers["allow"]


def test_a_picture_is_chosen_asked_and_streamed(client):
    url = serving.url(serving.png(tiny.pictures(1)[0]))
    chosen = events(client, "on_upload", [], {"picture": url}, "one")[-1]
    assert chosen["success"] and "sl-stage" in json.dumps(chosen["output"]["data"])
    told = events(client, "on_ask", [None, "What color is the ball?", False, 0.5, 0.5], session="one")
    parts = [line for line in told if line["msg"] == "process_generating"]
    said = kit_answer(client, url, "What color is the ball?")
    last = told[-1]["output"]["data"][0]
    assert len(parts) > 2 and "data-map" in last
    words = re.findall(r'data-share="[^"]*">([^<]+)</button>', last)
    assert "".join(words) == said.replace(" ", "")


def kit_answer(client, url, question):
    found = client.post("/v1/chat/completions", json=serving.chat(question, url)).json()
    return found["choices"][0]["message"]["content"]


def test_a_bad_upload_is_a_message(client):
    found = events(client, "on_upload", [], {"picture": serving.url(b"<html>")}, "two")[-1]
    assert found["success"] and "not one of" in json.dumps(found["output"]["data"])
    for odd in ({"picture": 7}, {}, {"index": 10**6}, {"picture": "data:image/png;base64,"}):
        assert events(client, "on_upload", [], odd, "two")[-1]["success"]
        assert events(client, "on_select", [], odd, "two")[-1]["success"]


def test_a_body_beyond_the_limit_is_refused(client):
    body = {"data": ["x" * (13 << 20)], "fn_index": 0, "session_hash": "three"}
    assert client.post("/gradio_api/queue/join", json=body).status_code == 413


def test_addresses_for_other_sites_leave_the_head():
    own = b'<meta name="viewport" content="x">'
    assert (
        FOREIGN.sub(b"", b'<meta property="og:image"\n content="https://example.org/a.png" />' + own) == own
    )


def test_the_server_starts_without_waiting_for_gradio():
    code = "import sys, sightline.cli.serve, sightline.serve.ui.mount; assert 'gradio' not in sys.modules"
    src = Path(__file__).parents[3] / "src"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": f"{src}", "PATH": ""}, check=True)


def test_the_api_answers_while_the_page_is_made_and_early_visitors_wait(model, bundle, monkeypatch):
    begun, go_on, real = threading.Event(), threading.Event(), ui_layout.build

    def slow(*values):
        begun.set()
        assert go_on.wait(60)
        return real(*values)

    monkeypatch.setattr(ui_layout, "build", slow)
    app = mount(create_app(model, DEPLOYED), model, LIMITS, bundle, None)
    with serving.running(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        with ThreadPoolExecutor() as pool:
            early = pool.submit(httpx.get, f"{address}/", timeout=60)
            assert begun.wait(60)
            assert client.get("/live").status_code == client.get("/ready").status_code == 200
            assert client.post("/v1/chat/completions", json=serving.chat()).status_code == 200
            assert not early.done()
            go_on.set()
            assert early.result().status_code == 200 and "Sightline" in early.result().text


def test_a_page_that_cannot_be_made_is_503_and_the_api_serves(model, bundle, monkeypatch):
    def broken(*values):
        raise RuntimeError("no page today")

    monkeypatch.setattr(ui_layout, "build", broken)
    app = mount(create_app(model, DEPLOYED), model, LIMITS, bundle, None)
    with serving.running(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        refused = client.get("/")
        assert refused.status_code == 503 and "today" not in refused.text
        assert client.get("/live").status_code == 200
        assert client.post("/v1/chat/completions", json=serving.chat()).status_code == 200


CLICK = "[...document.querySelectorAll('button.primary')].find(b=>b.offsetParent).click()"


@pytest.mark.full
@pytest.mark.skipif(not (browser.BINARY and browser.DRIVER), reason="no Chromium with its driver here")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_real_browser_uses_every_tab_and_asks_no_other_host(address, width):
    with browser.chromium() as window:
        window.size(width, 900)
        window.open(address)
        window.wait("document.querySelector('.sl-stage img.base')")
        window.run(CLICK)
        window.wait("document.querySelector('.sl-words button.on')")
        words = window.run("return document.querySelectorAll('.sl-words button').length")
        window.run("document.querySelectorAll('.sl-words button')[arguments[0]].click()", words - 1)
        shown = window.run("return document.querySelector('.sl-stage.lit .heat').src")
        last = window.run("return [...document.querySelectorAll('.sl-words button')].pop().dataset.map")
        assert shown == last and shown.startswith("data:image/png")
        window.click_tab("Search")
        window.wait("[...document.querySelectorAll('.sl-pick button')].some(b=>b.offsetParent)")
        window.run("[...document.querySelectorAll('.sl-pick button')].find(b=>b.offsetParent).click()")
        window.wait("document.querySelectorAll('.sl-card').length === 10")
        window.run("document.querySelector('.sl-card button').click()")
        window.wait("document.querySelectorAll('.sl-card').length === 9")
        window.click_tab("Compare")
        window.wait("[...document.querySelectorAll('.sl-pick button')].some(b=>b.offsetParent)")
        window.run("[...document.querySelectorAll('.sl-pick button')].find(b=>b.offsetParent).click()")
        time.sleep(1)
        window.run(CLICK)
        window.wait("document.querySelectorAll('.sl-variant').length === 1")
        window.click_tab("Dashboard")
        window.wait("document.querySelectorAll('.sl-chart svg').length === 3")
        assert window.run("return document.documentElement.scrollWidth") <= width
        hosts = {url.split("/")[2] for url in window.addresses() if url.startswith(("http", "ws"))}
        assert hosts == {address.removeprefix("http://")}
        assert [line for line in window.log("browser") if line["level"] == "SEVERE"] == []
