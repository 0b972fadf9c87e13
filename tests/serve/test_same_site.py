"""A browser uses the server from its own page only: every route, every spelling of this machine."""

import http.client
import socket

import httpx2 as httpx
import pytest

from sightline.serve.api import create_app
from tests.serve.test_middleware import KEY, sightline
from tests.support.serving import chat, deployed, running

ROUTES = [
    ("GET", "/live"), ("GET", "/ready"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/v1/models"),
    ("GET", "/v1/models/sightline"), ("POST", "/v1/chat/completions"), ("POST", "/v1/embeddings"),
    ("POST", "/search"), ("POST", "/similar"), ("POST", "/explain"), ("OPTIONS", "/search"),
    ("GET", "/picture"), ("GET", "/nowhere"),
]  # fmt: skip
OTHER_SITES = [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://localhost:1"},
    {"Origin": "http://localhost"}, {"Origin": "http://127.0.0.1"}, {"Origin": "http://[::ffff:127.0.0.1]:8000"},
    {"Origin": "file://"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": ""},
]  # fmt: skip


def ask(address, method, path, headers=(), body=b""):
    """(status, headers, body); `headers` are sent as they are, a Host only where it is among them."""
    link = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    link.putrequest(method, path, skip_host=True)
    for name, value in [*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]:
        link.putheader(name, value)
    link.endheaders(body)
    answer = link.getresponse()
    return answer.status, {name.lower() for name, _ in answer.getheaders()}, answer.read()


def test_the_routes_above_are_all(client):
    paths = client.get("/openapi.json").json()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert {(method, path.replace("{name}", "sightline")) for method, path in served} <= set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_pages_of_other_sites_are_refused_on_every_route(shared, method, path):
    host = shared.removeprefix("http://")
    for header in OTHER_SITES:
        status, names, body = ask(shared, method, path, [("Host", host), *header.items()])
        assert status == 403 and b"foreign_site" in body, header
        assert not [name for name in names if name.startswith("access-control-")]


def test_a_preflight_is_refused(shared):
    head = [("Host", shared.removeprefix("http://")), ("Origin", "http://evil.example"),
            ("Access-Control-Request-Method", "POST")]  # fmt: skip
    assert ask(shared, "OPTIONS", "/v1/chat/completions", head)[0] == 403


def test_the_own_page_the_address_bar_and_programs_are_answered(shared):
    host = shared.removeprefix("http://")
    local = host.replace("127.0.0.1", "LOCALHOST")
    for head in (
        [("Host", host)], [("Host", local)], [("Host", host), ("Sec-Fetch-Site", "none")],
        [("Host", host), ("Origin", shared), ("Sec-Fetch-Site", "same-origin")],
        [("Host", local), ("Origin", f"http://{local.lower()}")],
        [("Host", "localhost"), ("Origin", "https://localhost")],  # behind a proxy that speaks TLS
    ):  # fmt: skip
        assert ask(shared, "GET", "/v1/models", head)[0] == 200, head


@pytest.mark.parametrize(
    "host",
    ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]", "127.0.0.2", "127.1", "0.0.0.0", "0x7f.1",
     "localhost.", "evil.example", "127.0.0.1.nip.io", "localhost:x", "a@localhost", "[", "", "local host"],
)  # fmt: skip
def test_only_the_bound_host_and_localhost_are_answered(shared, host):
    assert ask(shared, "GET", "/live", [("Host", host)])[0] in (400, 403)
    assert ask(shared, "GET", "/live", [("Host", f"{host}:8000")])[0] in (400, 403)


@pytest.mark.parametrize("hosts", [[], ["127.0.0.1", "evil.example"], ["evil.example", "127.0.0.1"]])
def test_one_host_is_expected(shared, hosts):
    assert ask(shared, "GET", "/live", [("Host", host) for host in hosts])[0] in (400, 403)


@pytest.mark.parametrize(("bound", "right"), [("::1", "[0:0::1]:80"), ("127.0.0.2", "127.0.0.2:80")])
def test_another_loopback_address_is_answered_where_it_is_bound(model, bound, right):
    with running(create_app(model, deployed(batch=4, host=bound))) as address:
        assert ask(address, "GET", "/live", [("Host", right)])[0] == 200
        for wrong in ("127.0.0.1", "[::ffff:127.0.0.1]"):
            assert ask(address, "GET", "/live", [("Host", wrong)])[0] == 403


def test_with_keys_any_host_is_answered_and_other_sites_are_not(model):
    with running(create_app(model, deployed(batch=4), [KEY])) as address:
        key = ("Authorization", f"Bearer {KEY}")
        name = ("Host", "vision.example")
        assert ask(address, "GET", "/v1/models", [name, key])[0] == 200
        assert ask(address, "GET", "/v1/models", [name, key, ("Origin", "https://vision.example")])[0] == 200
        for header in OTHER_SITES:
            assert ask(address, "GET", "/v1/models", [name, key, *header.items()])[0] == 403


def test_a_client_of_openai_works(shared):
    with httpx.Client(base_url=shared, timeout=60) as client:
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_is_printed_as_it_is_opened(bundle):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        for host in ("::1", "[::1]"):
            process = sightline("serve", "--bundle", bundle, "--host", host, "--port", port)
            _, said = process.communicate(timeout=60)
            assert f"http://[::1]:{port}/v1 answers" in said and "try another --port" in said
