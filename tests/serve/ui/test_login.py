"""The login of the page: what is closed to whoever has neither key nor session, and how a session begins and
ends."""

import base64
import re
from contextlib import contextmanager

import httpx2 as httpx
import pytest

from sightline.serve import login
from sightline.serve.api import create_app
from sightline.serve.login import COOKIE, Login, SignedSessions
from sightline.serve.ui.mount import mount
from tests.serve.test_middleware import KEY, OTHER
from tests.serve.ui.test_served_page import CLICK, events
from tests.support import browser, serving

PUBLIC = {("GET", "/live"), ("GET", "/ready"), ("GET", "/login"), ("POST", "/login"), ("POST", "/logout")}
TRIES = 3
ATTRIBUTES = "HttpOnly; Max-Age=28800; Path=/; SameSite=strict"


def application(model, bundle, checkout, keys=(KEY, OTHER), **changes):
    deployment = serving.deployed(batch=4, **changes)
    app = create_app(model, deployment, keys)
    Login(deployment, keys).add_to(app)
    return mount(app, model, deployment.limits, bundle, checkout)


@pytest.fixture(scope="module")
def closed(model, bundle, checkout):
    """(application, address) of a server with keys and the page."""
    tries = serving.DEV.login.replaced(tries=10**6)
    app = application(model, bundle, checkout, login=tries)
    with serving.running(app) as address:
        bearer = {"Authorization": f"Bearer {KEY}"}
        assert httpx.get(f"{address}/", headers=bearer, timeout=60).status_code == 200  # the page is made
        yield app, address


@pytest.fixture
def client(closed):
    with httpx.Client(base_url=closed[1], timeout=60) as client:
        yield client


@contextmanager
def alone(model, *keys, **changes):
    """A client of a server with keys and a login, and nothing behind it."""
    deployment = serving.deployed(batch=4, **changes)
    app = create_app(model, deployment, keys)
    Login(deployment, keys).add_to(app)
    with serving.running(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def log_in(client, key=KEY, **headers):
    return client.post("/login", data={"key": key}, headers=headers)


def every_route(app):
    """(method, path) of every route of the API, of the login and of the page's own application."""
    page = app.router.default.app._page.result()
    found, routes = set(), [*app.routes, *page.routes]
    while routes:
        route = routes.pop()
        routes += getattr(getattr(route, "original_router", route), "routes", None) or []
        path = re.sub(r"\{\w+(:path)?\}", "x", getattr(route, "path", ""))
        found |= {(method, path or "/") for method in getattr(route, "methods", None) or {"GET"}}
    return found


def test_without_key_and_session_nothing_but_login_and_health_answers(closed, client):
    routes = every_route(closed[0])
    assert len(routes) > 40 and PUBLIC <= routes and ("POST", "/gradio_api/queue/join") in routes
    cookies = {"none": {}, "no session": {"Cookie": f"{COOKIE}=x"}, "the key": {"Cookie": f"{COOKIE}={KEY}"}}
    for method, path in sorted(routes - PUBLIC):
        for name, headers in cookies.items():
            answer = client.request(method, path, headers=headers)
            if path == "/":
                told = answer.status_code, answer.headers["location"], answer.content
                assert told == (303, "/login", b""), (method, name)
            else:  # Gradio has routes of these two names, which nobody reaches
                expected = 405 if path in ("/login", "/logout") else 401
                assert answer.status_code == expected, (method, path, name)
    assert {client.request(*route).status_code for route in PUBLIC} == {200, 303, 415}


def test_the_login_page_has_no_script_and_loads_nothing(client):
    page = client.get("/login")
    assert page.status_code == 200 and page.headers["cache-control"] == "no-store"
    assert "<script" not in page.text and not re.search(r"https?://|@import|\bon\w+=", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "width=device-width" in page.text and 'type="password"' in page.text


def test_a_key_gives_the_page_and_the_cookie_is_not_the_key(client):
    answer = log_in(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    session, _, attributes = rest.partition("; ")
    assert (name, attributes) == (COOKIE, ATTRIBUTES)
    told = base64.urlsafe_b64decode(session)
    assert KEY not in answer.headers["set-cookie"] and KEY.encode() not in told
    page = client.get("/")
    assert page.status_code == 200 and "Sign out" in page.text
    last = events(client, "on_words", ["a cup"], session="signed-in")[-1]
    assert last["success"] and "sl-card" in str(last["output"])
    assert client.get("/login").headers["location"] == "/"


def test_a_session_opens_the_page_and_not_the_api(closed, client):
    log_in(client)
    told = client.get("/openapi.json", headers={"Authorization": f"Bearer {KEY}"}).json()["paths"]
    api = {(method.upper(), path) for path, methods in told.items() for method in methods}
    assert len(api) > 8
    for method, path in sorted(api | {("GET", "/openapi.json")} - PUBLIC):
        if (method, path) not in PUBLIC:
            assert client.request(method, path.replace("{name}", "sightline")).status_code == 401, path
    for path in ("/config", "/theme.css", "/gradio_api/info"):
        assert client.get(path).status_code == 200
    answer = client.post(
        "/v1/chat/completions", json=serving.chat(), headers={"Authorization": f"Bearer {OTHER}"}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("wrong", ["", "x", KEY[:-1], KEY + "x", KEY.upper(), f"{KEY}\x00", "ä" * 16])
def test_a_wrong_key_gives_no_cookie(client, wrong):
    refused = log_in(client, wrong)
    assert refused.status_code == 401 and "no key of this server" in refused.text
    assert "set-cookie" not in refused.headers and client.get("/config").status_code == 401


def test_what_is_no_form_is_refused(client):
    assert client.post("/login", json={"key": KEY}).status_code == 415
    assert log_in(client, "x" * 5000).status_code == 413
    assert client.post("/login", data={"name": KEY}).status_code == 401
    assert client.get("/config").status_code == 401


def test_logging_out_ends_the_session_of_a_copied_cookie_too(closed, client):
    log_in(client)
    copied = {COOKIE: client.cookies[COOKIE]}
    with httpx.Client(base_url=closed[1], cookies=copied) as thief:
        assert thief.get("/config").status_code == 200
        answer = client.post("/logout")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert thief.get("/config").status_code == client.get("/config").status_code == 401
    log_in(client)
    assert client.get("/config").status_code == 200


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_pages_of_other_sites_can_neither_log_in_nor_out(client, path, headers):
    log_in(client)
    assert client.post(path, data={"key": KEY}, headers=headers).status_code == 403
    assert client.get("/config").status_code == 200


def test_the_cookie_is_secure_where_the_browser_came_by_tls(model):
    with alone(model, KEY) as client:
        host = client.base_url.netloc.decode()
        assert log_in(client, Origin=f"http://{host}").headers["set-cookie"].endswith(ATTRIBUTES)
        assert log_in(client, Origin=f"https://{host}").headers["set-cookie"].endswith("; Secure")
        believed_by_nobody = log_in(client, **{"X-Forwarded-Proto": "https"})
        assert believed_by_nobody.headers["set-cookie"].endswith(ATTRIBUTES)
    with alone(model, KEY, proxies=("127.0.0.0/8",)) as client:
        assert log_in(client, **{"X-Forwarded-Proto": "https"}).headers["set-cookie"].endswith("; Secure")
        assert log_in(client, **{"X-Forwarded-Proto": "http"}).headers["set-cookie"].endswith(ATTRIBUTES)


def few(**changes):
    return {"login": serving.DEV.login.replaced(tries=TRIES), **changes}


def statuses(client, times, key="wrong-key-wrong-key", **headers):
    return [log_in(client, key, **headers).status_code for _ in range(times)]


def test_wrong_keys_of_an_address_have_an_end_and_others_may_go_on(model):
    with alone(model, KEY, **few()) as client:
        assert statuses(client, TRIES + 2) == [401] * TRIES + [429] * 2
        refused = log_in(client)  # the right one is not even compared
        assert refused.status_code == 429 and 0 < int(refused.headers["retry-after"]) <= 300
        assert "Try again in 5 min" in refused.text
        # Whoever has the API is not kept from it, and saying to be another does not help.
        bearer = {"Authorization": f"Bearer {KEY}"}
        assert client.get("/v1/models", headers=bearer).status_code == 200
        assert statuses(client, 1, KEY, **{"X-Forwarded-For": "198.51.100.7"}) == [429]
        with httpx.Client(
            base_url=client.base_url, transport=httpx.HTTPTransport(local_address="127.0.0.2")
        ) as other:
            assert statuses(other, 1, KEY) == [303]


def test_right_keys_are_not_counted_and_wrong_ones_are_forgotten(model, monkeypatch):
    with alone(model, KEY, **few()) as client:
        assert statuses(client, TRIES - 1) == [401] * (TRIES - 1)
        assert statuses(client, 5, KEY) == [303] * 5
        assert statuses(client, 2) == [401, 429]
        later = login.time.monotonic() + serving.DEV.login.tries_s
        monkeypatch.setattr(login.time, "monotonic", lambda: later)
        assert statuses(client, TRIES + 1) == [401] * TRIES + [429]


def test_behind_a_proxy_that_is_believed_the_address_is_the_clients(model):
    with alone(model, KEY, **few(proxies=("127.0.0.1", "10.0.0.0/8"))) as client:
        one = {"X-Forwarded-For": "203.0.113.5, 198.51.100.7, 10.1.2.3"}  # the first is what the client says
        assert statuses(client, TRIES + 1, **one) == [401] * TRIES + [429]
        assert statuses(client, 1, KEY, **{"X-Forwarded-For": "192.0.2.9, 198.51.100.7"}) == [429]
        assert statuses(client, 1, KEY, **{"X-Forwarded-For": "198.51.100.8"}) == [303]
        wide = [{"X-Forwarded-For": f"2001:db8:1:2::{number}"} for number in range(TRIES + 1)]
        assert [log_in(client, "wrong", **one).status_code for one in wide] == [401] * TRIES + [429]


def test_addresses_with_wrong_keys_are_remembered_up_to_a_number(monkeypatch):
    monkeypatch.setattr(login, "REMEMBERED", 4)
    wrong = login.WrongKeys(1, 300)
    for number in range(8):
        wrong.add(f"192.0.2.{number}")
    assert [bool(wrong.wait_s(f"192.0.2.{number}")) for number in range(8)] == [False] * 4 + [True] * 4


def test_a_session_is_that_of_every_server_with_its_key_and_of_no_other():
    one, both, without = (SignedSessions(keys, 60) for keys in ([KEY], [OTHER, KEY], [OTHER]))
    session = one.begin(0)
    assert one.holds(session) and both.holds(session) and not without.holds(session)
    assert without.holds(both.begin(0)) and not one.holds(both.begin(0))
    assert one.begin(0) != session


def test_a_session_ends_when_its_time_is_over_or_was_made_shorter(monkeypatch):
    session, now = SignedSessions([KEY], 60).begin(0), login.time.time()
    later = lambda seconds: monkeypatch.setattr(login.time, "time", lambda: now + seconds)  # noqa: E731
    later(57)
    assert SignedSessions([KEY], 60).holds(session) and not SignedSessions([KEY], 30).holds(session)
    later(61)
    assert not SignedSessions([KEY], 60).holds(session)
    later(-30)
    assert SignedSessions([KEY], 60).holds(session)  # begun by a server whose clock is ahead
    later(-90)
    assert not SignedSessions([KEY], 60).holds(session)


def test_no_other_text_is_a_session():
    sessions = SignedSessions([KEY], 10**9)
    session = sessions.begin(0)
    raw = bytearray(base64.urlsafe_b64decode(session))
    forged = ["", "x", session[:-4], session + "AAAA", f" {session}", session.upper(), KEY]
    for at in range(len(raw)):
        changed = bytes(raw[:at]) + bytes([raw[at] ^ 1]) + bytes(raw[at + 1 :])
        forged.append(base64.urlsafe_b64encode(changed).decode())
    assert sessions.holds(session) and not any(map(sessions.holds, forged))


def test_sessions_that_were_ended_are_remembered_up_to_a_number(monkeypatch):
    monkeypatch.setattr(login, "REMEMBERED", 2)
    sessions = SignedSessions([KEY], 60)
    begun = [sessions.begin(0) for _ in range(3)]
    for session in (*begun, "x"):  # what is no session takes no place
        sessions.end(session)
    assert [sessions.holds(session) for session in begun] == [True, False, False]


@pytest.mark.full
@pytest.mark.skipif(not (browser.BINARY and browser.DRIVER), reason="no Chromium with its driver here")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_real_browser_logs_in_and_out(closed, width, monkeypatch):
    app, address = closed
    with browser.chromium() as window:
        window.size(width, 900)
        window.open(address)
        assert window.run("return location.pathname") == "/login"
        assert window.run("return document.documentElement.scrollWidth") <= width
        window.run("document.forms[0].key.value=arguments[0]; document.forms[0].submit()", "not-a-key")
        window.wait("document.querySelector('p[role=alert]')")
        window.run("document.forms[0].key.value=arguments[0]; document.forms[0].submit()", KEY)
        window.wait("document.querySelector('.sl-signout button')")
        assert window.run("return document.cookie") == ""  # no script reads it
        with monkeypatch.context() as over:  # the session is, and the page says so when it is used
            over.setattr(app.state.middleware.login, "let_in", lambda headers: False)
            window.run(CLICK)
            window.wait("document.forms[0] && document.forms[0].key")
        window.open(address)
        window.wait("document.querySelector('.sl-signout button')")
        window.run("document.querySelector('.sl-signout button').click()")
        window.wait("document.forms[0] && document.forms[0].key")
        window.open(address)
        assert window.run("return location.pathname") == "/login"
