"""A chat endpoint audited over HTTP: a real server of Sightline, and one that answers and fails by
a script."""

import email.utils
import json
import resource
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sightline.audit import answer_file, run_audit
from sightline.audit.answer_file import NAME, Head
from sightline.audit.bundle_answerer import BundleAnswerer
from sightline.audit.endpoint_answerer import Budget, BudgetError, EndpointAnswerer
from sightline.audit.endpoint_connection import TRIES, Connection, EndpointError
from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from tests.support import audited
from tests.support.serving import deployed, running

FREE = Budget()


def connected(url: str, key: str = "", rate: float = 0.0, timeout: float = 60.0, pause: float = 0.01):
    return Connection(url, key, rate, timeout, pause)


def answerer(url: str, connections: int = 4, budget: Budget = FREE, spent=(), **more) -> EndpointAnswerer:
    return EndpointAnswerer(connected(url, **more), "a-model", connections, budget, spent)


def ask(made: EndpointAnswerer, audit) -> dict:
    requests = audit.requests(8)
    return {request.key: reply for request, reply in made.answers(requests)}


def test_over_http_and_in_process_the_figures_are_the_same(tmp_path, bundle, small):
    with run_audit.folder(tmp_path / "here") as folder:
        here = run_audit.run(small, BundleAnswerer(bundle, 4), folder, 8, FREE)
    with running(create_app(Model.load(bundle, 4), deployed(batch=4, queue=200))) as address:
        made = EndpointAnswerer(connected(f"{address}/v1"), "sightline", 4, FREE)
        with run_audit.folder(tmp_path / "there") as folder:
            there = run_audit.run(small, made, folder, 8, FREE)
    assert len(here.figures) > 100 and here.reliability
    assert here.figures == there.figures
    assert here.verdicts == there.verdicts and here.reliability == there.reliability
    assert (here.model.form, there.model.form) == ("bundle", "endpoint")
    cost = json.loads((tmp_path / "there" / run_audit.COST).read_text())
    assert cost["requests"] == here.data.requests and cost["prompt_tokens"] > cost["requests"]


def test_what_is_sent_and_what_is_read(small):
    with audited.endpoint() as server:
        replies = ask(answerer(server.url, key="secret-key"), small)
    assert set(server.paths) == {"/v1/chat/completions"}
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer secret-key"}
    first = server.bodies[0]
    assert first["model"] == "a-model" and first["temperature"] == 0 and first["logprobs"] is True
    assert {body["max_tokens"] for body in server.bodies} == {8, 32}  # a short answer, a description
    kinds = [part["type"] for part in first["messages"][0]["content"]]
    assert kinds == ["image_url", "text"] and len(server.bodies) == len(replies) == len(small.requests(8))
    by_key = {request.key: request for request in small.requests(8)}
    for key, reply in replies.items():
        assert reply.text == audited.hashed(by_key[key].text, by_key[key].picture.data)
        assert reply.probability == pytest.approx(0.6065, abs=1e-4)  # exp(-0.25 - 0.25)
        assert (reply.prompt_tokens, reply.completion_tokens) == (100, 5)


def test_what_passes_is_asked_again(small):
    """429, 500, a reply that is no JSON, and one that never comes whole."""
    faults = {
        2: (429, {"Retry-After": "0"}, b'{"error": {"message": "slow down"}}'),
        5: (500, {}, b"oops"),
        6: (503, {}, b""),
        9: (200, {}, b'{"choices": [{"mess'),
        12: (200, {"Content-Encoding": "identity"}, b"<html>gateway</html>"),
    }
    with audited.endpoint(fault=lambda number, body: faults.get(number)) as server:
        made = answerer(server.url)
        replies = ask(made, small)
        plain = len(small.requests(8))
    assert len(replies) == plain and len(server.bodies) == plain + len(faults) and made.retries == len(faults)


def test_a_slow_reply_is_given_up_and_asked_again(small):
    def slow(number, body):
        if number == 3:
            time.sleep(3)

    with audited.endpoint(fault=slow) as server:
        made = answerer(server.url, timeout=1.0)
        assert len(ask(made, small)) == len(small.requests(8)) and made.retries >= 1


class Waits(threading.Event):
    """Every wait that was wanted, in seconds; none is waited."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout=None) -> bool:
        self.seconds.append(timeout)
        return self.is_set()


def test_the_time_that_the_server_asks_for_is_waited(small):
    waits = Waits()
    soon = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=300))
    faults = {1: {"Retry-After": "7"}, 2: {"Retry-After": "0"}, 3: {"Retry-After": soon}, 4: {}}

    def busy(number, body):
        return (429, faults[number], b"") if number in faults else None

    with audited.endpoint(fault=busy) as server:
        connection = Connection(server.url, "", 0.0, 60.0, 1.0, waits)
        ask(EndpointAnswerer(connection, "m", 1, FREE), small)
    number, none, date, own = waits.seconds
    assert (
        (number, none) == (7.0, 0.0) and 100 < date <= 300 and 4.0 <= own <= 8.0
    )  # the fourth of 1, 2, 4, 8


def test_a_server_that_asks_for_a_long_wait_ends_the_audit(small):
    later = (429, {"Retry-After": "3600"}, b"")
    with audited.endpoint(fault=lambda number, body: later) as server:
        with pytest.raises(EndpointError, match="come back in 3600 s; run the same command then"):
            ask(answerer(server.url, connections=1), small)


def test_an_endpoint_that_stays_down_ends_the_audit_and_loses_nothing(tmp_path, small):
    with audited.endpoint(fault=lambda number, body: (500, {}, b"down") if number > 20 else None) as server:
        with run_audit.folder(tmp_path / "out") as folder, pytest.raises(EndpointError) as error:
            run_audit.run(small, answerer(server.url, connections=2), folder, 8, FREE)
    assert f"no answer in {TRIES} tries" in str(error.value) and "HTTP 500 down" in str(error.value)
    assert len(run_audit.kept_replies(tmp_path / "out")) == 20
    assert not (tmp_path / "out" / run_audit.FIGURES).exists()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_the_endpoint_is_an_error_without_the_key(small, status):
    echo = b'{"error": {"message": "wrong key sk-very-secret"}}'
    with audited.endpoint(fault=lambda number, body: (status, {}, echo)) as server:
        with pytest.raises(EndpointError) as error:
            ask(answerer(server.url, key="sk-very-secret", connections=1), small)
        assert len(server.bodies) == 1
    assert f"HTTP {status}" in str(error.value) and "wrong key ***" in str(error.value)
    assert "sk-very-secret" not in str(error.value) and "sk-very-secret" not in repr(
        connected("http://127.0.0.1/v1", "sk-very-secret")
    )


def test_a_redirect_is_not_followed(small):
    moved = (302, {"Location": "http://127.0.0.1:9/elsewhere"}, b"")
    with audited.endpoint(fault=lambda number, body: moved) as server:
        with pytest.raises(EndpointError, match="HTTP 302"):
            ask(answerer(server.url, connections=1), small)
        assert len(server.bodies) == 1


def test_fields_that_an_endpoint_refuses_are_left_out(small):
    def strict(number, body):
        refused = {"logprobs", "temperature", "max_tokens"} & body.keys()
        message = json.dumps({"error": {"message": f"unsupported: {sorted(refused)}"}}).encode()
        return (400, {}, message) if refused else None

    with audited.endpoint(fault=strict) as server:
        replies = ask(answerer(server.url, connections=1), small)
    assert len(replies) == len(small.requests(8))
    assert {reply.probability for reply in replies.values()} == {None}
    assert len(server.bodies) == len(replies) + 2  # two forms were refused, once each
    assert server.bodies[-1]["max_completion_tokens"] in (8, 32)


def test_what_the_service_declines_is_an_answer(small):
    def filtered(number, body):
        if number == 4:
            return 400, {}, b'{"error": {"code": "content_filter", "message": "no"}}'
        if number == 5:
            declined = {"message": {"role": "assistant", "content": None, "refusal": "I will not."}}
            return 200, {}, json.dumps({"choices": [declined | {"finish_reason": "stop"}]}).encode()
        return None

    with audited.endpoint(fault=filtered) as server:
        replies = ask(answerer(server.url, connections=1), small)
    assert len(replies) == len(small.requests(8))
    assert [reply.text for reply in replies.values() if reply.refused] == ["", "I will not."]


def test_as_many_connections_as_allowed_are_open_and_no_more(small):
    together = threading.Barrier(3)

    def held(number, body):
        if number <= 3:
            together.wait(30)  # broken, and so an error, if no three requests are under way together

    with audited.endpoint(fault=held) as server:
        ask(answerer(server.url, connections=3), small)
        assert server.most == 3


@pytest.mark.full
def test_ten_thousand_questions_to_a_slow_endpoint(tmp_path, small):
    """With 16 connections, every answer kept: as many under way as allowed, little memory, and most of the
    rate that the endpoint has."""
    count, connections, delay = 10_000, 16, 0.05
    first = small.requests(8)[0]
    requests = [replace(first, key=f"{number}", text=f"Is there ball {number}?") for number in range(count)]

    def slow(number, body):
        server.bodies.clear()  # held here and not by the client
        server.headers.clear()
        time.sleep(delay)

    with audited.endpoint(fault=slow) as server:
        made = answerer(server.url, connections=connections)
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        head = Head(model=made.identity, asked="", answer_tokens=8)
        with answer_file.opened(tmp_path, head) as answers:
            for request, reply in made.answers(requests):
                answers.add(request.key, reply)
        seconds = time.monotonic() - started
        assert server.most == connections and made.retries == 0
    assert len(answer_file.read(tmp_path / NAME)[1]) == count
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 100 * 2**20  # an answer takes a few KB, its picture is not kept
    ideal = count * delay / connections
    assert seconds < 3 * ideal  # endpoint and client share two cores here


def test_the_rate_is_kept(small):
    waits = Waits()
    with audited.endpoint() as server:
        ask(EndpointAnswerer(Connection(server.url, "", 0.1, 60.0, 1.0, waits), "m", 2, FREE), small)
    # At one in ten minutes the n-th request waits for 10 n minutes, less what the earlier ones took.
    assert [round(seconds / 600) for seconds in sorted(waits.seconds)] == list(range(len(small.requests(8))))


@pytest.mark.parametrize("budget", [
    Budget(price_in=10.0, price_out=100.0, max_cost=0.0500001),  # 100 and 5 tokens a request: 0.0015
    Budget(max_tokens=33 * 105),
])  # fmt: skip
def test_a_cap_is_never_exceeded_and_raised_it_goes_on(tmp_path, small, budget):
    with audited.endpoint() as server, run_audit.folder(tmp_path / "out") as folder:
        with pytest.raises(BudgetError, match="is reached: .* run the same command, it goes on"):
            run_audit.run(small, answerer(server.url, budget=budget), folder, 8, budget)
        assert len(server.bodies) == len(run_audit.kept_replies(folder)) == 33
        with pytest.raises(BudgetError):  # what was spent counts
            spent = list(run_audit.kept_replies(folder).values())
            run_audit.run(small, answerer(server.url, budget=budget, spent=spent), folder, 8, budget)
        assert len(server.bodies) == 33
        report = run_audit.run(small, answerer(server.url), folder, 8, FREE)
        assert report.data.requests == len(server.bodies)


def test_a_cap_needs_the_endpoint_to_count(small):
    capped = Budget(max_tokens=10_000)
    with audited.endpoint(usage=False) as server, pytest.raises(EndpointError, match="does not say"):
        ask(answerer(server.url, budget=capped), small)


@pytest.mark.parametrize(
    ("url", "key", "message"),
    [
        ("ftp://host/v1", "", "expected https://HOST/v1"),
        ("host/v1", "", "expected https://HOST/v1"),
        ("https://user:word@host/v1", "", "holds a user or a password"),
        ("http://model.example/v1", "key", "unencrypted"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_before_any_request(url, key, message):
    with pytest.raises(ValueError, match=message) as error:
        connected(url, key)
    assert "word" not in str(error.value).replace("password", "")


def test_the_address_in_the_report_holds_no_query():
    made = answerer("https://host.example/v1?token=abc")
    assert made.identity.version == "https://host.example/v1/chat/completions"
    assert connected("https://h/v1/chat/completions").address == "https://h/v1/chat/completions"


def test_replies_that_are_no_completions_are_named(small):
    with audited.endpoint(fault=lambda number, body: (200, {}, b'{"answer": "yes"}')) as server:
        with pytest.raises(EndpointError, match="no chat completion .choices: Field required"):
            ask(answerer(server.url, connections=1), small)


def test_answers_of_another_audit_are_not_mixed(tmp_path, small):
    with audited.endpoint() as server, run_audit.folder(tmp_path / "out") as folder:
        run_audit.run(small, answerer(server.url), folder, 8, FREE)
        kept = (folder / NAME).read_bytes()
        for tokens, model, message in ((9, "a-model", "--answer-tokens 8"), (8, "other", "of a-model")):
            made = EndpointAnswerer(connected(server.url), model, 4, FREE)
            with pytest.raises(ValueError, match=f"another audit .*{message}"):
                run_audit.run(small, made, folder, tokens, FREE)
        assert (folder / NAME).read_bytes() == kept
