"""The page's queue takes what the page sends, and nothing that Gradio would fetch."""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gradio as gr
import httpx2 as httpx
import pytest
from fastapi import FastAPI

from sightline.serve.api_error import ApiError
from sightline.serve.ui.mount import POSTED
from sightline.serve.ui.page_input import checked

META = {"_type": "gradio.FileData"}


@pytest.fixture
def client(address):
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@contextmanager
def canary():
    """An address, and the requests that came to it."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *values):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/x.png", asked
    finally:
        server.shutdown()


def files(address):
    """What Gradio takes for a file, and what hides one."""
    whole = {"path": address, "url": address, "meta": META}
    yield from ({"path": address}, {"path": address, "meta": META}, {"url": address, "meta": META}, whole)
    yield from (
        [whole],
        {"a": whole},
        {"a": [{"b": whole}]},
        [[[[whole]]]],
        {"__type__": "update", "value": whole},
    )


def test_no_function_of_the_page_takes_a_file(client):
    functions = client.get("/config").json()["dependencies"]
    assert len(functions) > 10
    with canary() as (address, asked):
        for function in functions:
            count = max(len(function["inputs"]), 1)
            for file in files(address):
                bodies = [
                    {"data": [None] * place + [file] + [None] * (count - place - 1)} for place in range(count)
                ]
                bodies += [{"data": [None] * count, "event_data": file}, {"data": [], "more": file}]
                bodies += [{"data": file}]
                for body in bodies:
                    body |= {"fn_index": function["id"], "session_hash": "file", "trigger_id": None}
                    refused = client.post("/gradio_api/queue/join", json=body)
                    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "page_input")
        assert asked == []


@pytest.mark.parametrize("path", sorted(POSTED))
def test_no_posted_route_takes_anything_else(client, path):
    head = {"Content-Type": "application/json"}
    for body in (
        b"",
        b"[]",
        b"7",
        b"null",
        b"{",
        b'{"data": {}}',
        b'{"data": [], "data": [{"path": "x"}]}',
        b"\xff",
    ):
        refused = client.post(path, content=body, headers=head)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "page_input")


def read(body):
    return checked(body).model_dump(exclude_unset=True)


def test_what_gradio_reads_is_what_was_checked():
    body = b'{"data": [{"path": "http://a.example"}], "data": ["text", 1, 0.5, true, null], "fn_index": 3}'
    assert read(body) == {"data": ["text", 1, 0.5, True, None], "fn_index": 3}
    for name in ("path", "url", "meta"):
        with pytest.raises(ApiError):
            checked(json.dumps({"event_data": {name: "x"}}).encode())
    assert read(b'{"event_data": {"picture": "data:,"}}')["event_data"] == {"picture": "data:,"}
    for name in ("session_hash", "event_id"):
        with pytest.raises(ApiError):
            checked(json.dumps({name: "x" * 65}).encode())


def posted_paths(routes):
    """Every path that takes a body, of routes and of the applications and routers behind them."""
    for route in routes:
        if {"POST", "PUT", "PATCH"} & (getattr(route, "methods", None) or set()):
            yield route.path
        for inner in (getattr(route, "app", None), getattr(route, "original_router", None)):
            yield from posted_paths(getattr(inner, "routes", None) or [])


def test_gradios_other_routes_that_take_a_body_are_shut(client):
    """All that Gradio offers, read from Gradio and not from a list made by hand."""
    with gr.Blocks() as blocks:
        gr.Markdown("x")
    found = set(posted_paths(gr.mount_gradio_app(FastAPI(), blocks, "/").routes))
    assert POSTED < found
    for path in sorted(found - POSTED):
        name = re.sub(r"[{}]|:path", "", path)
        assert client.post(name, json={}).status_code in (404, 405), path


@pytest.mark.parametrize(
    ("path", "status"), [("/gradio_api/queue/data", 422), ("/gradio_api/api_name", 404), ("/nothing", 404)]
)
def test_errors_of_the_page_have_the_form_of_all_errors(client, path, status):
    refused = client.get(path)
    error = refused.json()["error"]
    assert refused.status_code == status and error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == ("not_found_error" if status == 404 else "invalid_request_error")


@pytest.mark.parametrize("header", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_pages_of_other_sites_get_nothing_of_the_page(client, header):
    for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x"):
        assert client.get(path, headers=header).status_code == 403
    for path in POSTED:
        refused = client.post(path, json={"data": []}, headers=header)
        preflight = client.options(path, headers=header | {"Access-Control-Request-Method": "POST"})
        assert refused.status_code == preflight.status_code == 403


def test_gradio_lets_no_site_in_beside_its_own(client, address):
    answer = client.get("/config", headers={"Origin": address})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
