"""A server below a path of its host: a proxy may take the path off or leave it; forwarded headers count from
proxies that are named only."""

import re
from pathlib import Path

import httpx2 as httpx
import pytest

from sightline.serve.api import create_app
from sightline.serve.deploy import environments
from tests.serve.test_connections import WAIT_S, link, until_closed
from tests.serve.test_middleware import KEY
from tests.support import command_line
from tests.support.serving import chat, deployed, running

ROOT = Path(__file__).resolve().parents[2]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def below(model):
    with running(create_app(model, deployed(batch=4, root_path="/vision", body_bytes=10_000))) as address:
        with httpx.Client(base_url=address, timeout=60) as client:
            yield client


@pytest.mark.parametrize("prefix", ["", "/vision"])
def test_every_route_answers_with_the_path_and_without_it(below, prefix):
    told = below.get(f"{prefix}/openapi.json").json()
    assert told["servers"] == [{"url": "/vision"}]  # where clients find the routes
    for path in ("/live", "/ready", "/metrics", "/v1/models", "/v1/models/sightline"):
        assert below.get(prefix + path).status_code == 200, path
    assert below.post(prefix + CHAT, json=chat()).json()["choices"]
    assert below.post(f"{prefix}/search", json={"text": "a cup", "k": 2}).json()["results"]
    assert below.get(f"{prefix}/search").status_code == 405


def test_the_path_counts_once_and_limits_hold_below_it(below):
    for path in ("/vision/vision/live", "/visions/live", "/vision/vision" + CHAT):
        assert below.post(path, json=chat()).status_code == 404, path
    for prefix in ("", "/vision"):
        assert below.post(prefix + CHAT, json={"model": "x" * 20_000}).status_code == 413
    told = below.get("/metrics").text
    assert 'route="/v1/chat/completions",status="413"' in told and "/vision" not in told


def test_keys_are_asked_for_below_the_path(model):
    with running(create_app(model, deployed(batch=4, root_path="/vision"), [KEY])) as address:
        for path in ("/v1/models", "/vision/v1/models", "/vision/vision/live", "/vision", "/vision/"):
            assert httpx.get(address + path).status_code == 401, path
        assert httpx.get(f"{address}/vision/live").status_code == 200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--root-path", "/v1"], "--root-path: root_path: /v1: a path of the server begins so"),
        (["--root-path", "/search/x"], "--root-path: root_path: /search/x: a path of the server begins so"),
        (["--root-path", "/gradio_api"], "/gradio_api: a path of the server begins so"),
        (["--root-path", "vision"], "--root-path: root_path: got 'vision', allowed: /name"),
        (["--root-path", "/vision/"], "got '/vision/', allowed: /name or /name/name, no / at the end"),
        (["--root-path", "/../x"], "got '/../x', allowed: /name"),
        (["--env", "proxies.yaml"], "proxies.yaml:2: proxies[1]: got '10.0.0.1/8', allowed: an address or a"),
    ],
)
def test_a_wrong_path_or_proxy_is_said(bundle, tmp_path, words, said):
    (tmp_path / "proxies.yaml").write_text("extends: dev\nproxies: [10.0.0.0/8, 10.0.0.1/8]\n")
    done = command_line.run(tmp_path, "serve", "--bundle", bundle, *words, torch=False, code=2)
    assert said in done.stderr, done.stderr


def test_settings_come_from_variables():
    given = {
        "SIGHTLINE_SERVE__ROOT_PATH": "/a/b", "SIGHTLINE_SERVE__PROXIES": "[127.0.0.1, '::1']",
        "SIGHTLINE_SERVE__LOGIN__SESSION_S": "60",
    }  # fmt: skip
    found = environments.load("prod", given=environments.variables(given))
    assert (found.root_path, found.proxies, found.login.session_s) == ("/a/b", ("127.0.0.1", "::1"), 60)


def test_a_proxy_that_is_believed_has_no_limit_of_connections_of_its_own(model):
    for proxies, ended in (((), True), (("127.0.0.0/8",), False)):
        app = create_app(model, deployed(batch=4, peer_connections=1, proxies=proxies))
        with running(app) as address, link(address) as first:
            first.settimeout(WAIT_S)
            with link(address) as second:
                if ended:
                    assert until_closed(first) == b""
                else:
                    for connection in (first, second):
                        connection.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_the_settings_of_the_guide_are_what_its_proxy_is_set_up_for(tmp_path):
    guide = (ROOT / "docs" / "guide" / "production.md").read_text(encoding="utf-8")
    (tmp_path / "site.yaml").write_text(re.findall(r"^```yaml\n(.*?)^```", guide, re.S | re.M)[0])
    site = environments.load(str(tmp_path / "site.yaml"))
    proxy = (ROOT / "deploy" / "nginx" / "sightline.conf").read_text(encoding="utf-8")
    assert site.page and site.needs_keys and site.root_path and site.proxies == ("127.0.0.1",)
    assert f"location {site.root_path}/ {{" in proxy
    assert set(re.findall(r"server_name (\S+);", proxy)) == set(site.hosts)
    assert f"client_max_body_size {site.limits.body_bytes >> 20}m;" in proxy
    ports = {int(port) for port in re.findall(r"server 127\.0\.0\.1:(\d+)", proxy)}
    assert ports == {int(port) for port in re.findall(r"sightline@(\d+)", guide)}
