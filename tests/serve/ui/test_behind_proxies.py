"""API, page and login through a real nginx and a real HAProxy, set up by the files of deploy/: by TLS, below
a path that the proxy leaves or takes off."""

import json
import ssl
from pathlib import Path

import httpx2 as httpx
import pytest

from sightline.serve.login import COOKIE
from sightline_lab.load_test import local_proxy
from tests.serve.test_middleware import KEY
from tests.serve.ui.test_login import application
from tests.serve.ui.test_served_page import events
from tests.support import serving

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
PROXIES = {
    "nginx": (local_proxy.NGINX, local_proxy.nginx, DEPLOY / "nginx" / "sightline.conf"),
    "HAProxy": (local_proxy.HAPROXY, local_proxy.haproxy, DEPLOY / "haproxy" / "haproxy.cfg"),
}
# As docs/guide/production.md says it.
TAKING_OFF = {
    "nginx": {
        f"proxy_pass http://{name};": f"rewrite ^/vision(/.*) $1 break;\n        proxy_pass http://{name};"
        for name in ("sightline", "sightline_page")
    },
    "HAProxy": {"option httpchk": "option httpchk\n    http-request replace-path /vision(/.*) \\1"},
}


@pytest.fixture(scope="module")
def port(model, bundle, checkout):
    """The port of a server with page and login that believes the proxies of this machine."""
    app = application(model, bundle, checkout, root_path="/vision", proxies=("127.0.0.1",))
    with serving.running(app) as address:
        yield int(address.rpartition(":")[2])


@pytest.fixture(scope="module", params=[(name, off) for name in PROXIES for off in (False, True)], ids=str)
def proxy(request, port, tmp_path_factory):
    """(address of the server through a proxy, what knows the certificate)."""
    name, taking_off = request.param
    program, start, file = PROXIES[name]
    if program is None:
        pytest.skip(f"there is no {name} here: its file in deploy/ is not tried")
    folder = tmp_path_factory.mktemp("proxy")
    with start(file, (port, port), folder, TAKING_OFF[name] if taking_off else {}) as address:
        yield f"{address}/vision", ssl.create_default_context(cafile=folder / "certificate.pem")


@pytest.fixture
def through(proxy):
    with httpx.Client(base_url=proxy[0], timeout=60, verify=proxy[1]) as client:
        yield client


def test_the_api_answers_below_the_path_and_nothing_beside_it(through):
    bearer = {"Authorization": f"Bearer {KEY}"}
    told = through.get("/openapi.json", headers=bearer).json()
    assert told["servers"] == [{"url": "/vision"}]
    answer = through.post("/v1/chat/completions", json=serving.chat(), headers=bearer)
    assert answer.status_code == 200 and answer.json()["choices"]
    assert answer.headers["strict-transport-security"]
    with through.stream(
        "POST", "/v1/chat/completions", json=serving.chat(stream=True), headers=bearer
    ) as stream:
        assert [line for line in stream.iter_lines() if line][-1] == "data: [DONE]"
    assert through.post("/v1/chat/completions", json=serving.chat()).status_code == 401
    host = str(through.base_url).removesuffix("/vision/")
    assert through.get(f"{host}/v1/models", headers=bearer).status_code == 404


def test_the_page_is_used_below_the_path_after_a_login(through):
    host = str(through.base_url).removesuffix("/vision/")
    sent = through.get(f"{host}/vision", follow_redirects=True)
    assert str(sent.url) == f"{host}/vision/login" and "API key" in sent.text
    assert through.get("/config").status_code == 401
    answer = through.post("/login", data={"key": KEY}, headers={"Origin": host})
    assert (answer.status_code, answer.headers["location"]) == (303, "/vision/")
    assert answer.headers["set-cookie"].endswith("; Path=/vision; SameSite=strict; Secure")
    assert [(cookie.name, cookie.path, cookie.secure) for cookie in through.cookies.jar] == [
        (COOKIE, "/vision", True)
    ]
    page = through.get("/")
    assert page.status_code == 200 and "Sign out" in page.text
    assert 'src="/' not in page.text and 'href="/' not in page.text  # or it would miss the path
    assert json.loads(through.get("/config").text)["root"] == f"{host}/vision"
    assert through.get("/theme.css").status_code == 200
    assert events(through, "on_words", ["a cup"], session="through")[-1]["success"]
    assert through.post("/logout", headers={"Origin": host}).headers["location"] == "/vision/login"
    assert through.get("/config").status_code == 401


def test_wrong_keys_count_for_the_address_that_the_proxy_saw(proxy, through, request):
    own = f"127.0.1.{1 + list(PROXIES).index(request.node.callspec.params['proxy'][0])}"
    transport = httpx.HTTPTransport(local_address=own, verify=proxy[1])
    with httpx.Client(base_url=proxy[0], timeout=60, transport=transport) as other:
        for number in range(serving.DEV.login.tries):  # whatever the client claims to be
            claimed = {"X-Forwarded-For": f"198.51.100.{number}"}
            other.post("/login", data={"key": "wrong-key-wrong-key"}, headers=claimed)
        assert other.post("/login", data={"key": KEY}).status_code == 429
    assert through.post("/login", data={"key": KEY}).status_code == 303
