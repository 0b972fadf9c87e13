"""What a server tells of itself in /metrics, and `sightline monitor`, which reads it."""

import copy
import functools
import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx2 as httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sightline.inference.question_detector import QuestionDetector
from sightline.serve import metrics_reader
from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from sightline.serve.metric_names import KINDS, OUTCOMES, SIGNALS, SURE, WINDOW
from sightline.serve.safety.policy import LIMIT_REASONS, REASONS
from tests.serve.test_batching import Slow
from tests.serve.test_middleware import KEY
from tests.support import command_line, tiny
from tests.support.serving import chat, deployed, png, running, url

BLUE = url(png(np.full((40, 44, 3), (0, 0, 255), np.uint8)))
CHAT = "/v1/chat/completions"
ASKED = tiny.QUESTIONS[1]


def post(address, path, body, **more):
    return httpx.post(address + path, json=body, timeout=60, **more)


def fill(address, rows=WINDOW, **more):
    """Shows the server so many pictures, all the same."""
    shown = [url(png(tiny.pictures(1)[0]))] * 64
    for _ in range(rows // 64):
        body = {"model": "sightline", "input": shown}
        assert post(address, "/v1/embeddings", body, **more).status_code == 200


def figures(address, before=None):
    return metrics_reader.figures(metrics_reader.read(address, None), before)


@pytest.fixture
def fresh(model):
    with running(create_app(model, deployed(batch=4, queue=200))) as address:
        yield address


def older(model):
    """The same model from a bundle that has no scores of val."""
    session = copy.copy(model.session)
    known = session.question_detector
    session.question_detector = QuestionDetector(known.pairs, known.bound)
    session.object_words = None
    session.settings = session.settings.replaced(
        confidence=session.settings.confidence.replaced(reference=None)
    )
    return Model(session, replace(model.ood_detector, reference=None), model.index, model.batch)


def test_every_score_is_counted_with_its_bound(fresh, model):
    told = [
        post(fresh, CHAT, chat(question, picture, max_tokens=tokens)).json()["sightline"]
        for question, picture, tokens in (
            (ASKED, 0, 2), (ASKED, 1, 2), ("Who is the king?", 0, 2), (ASKED, BLUE, 12), (ASKED, 0, 12)
        )
    ]  # fmt: skip
    found = figures(fresh)
    signals = found["signals"]
    assert signals["picture"]["scores"] == signals["question"]["scores"] == 5
    assert signals["picture"]["beyond"] == sum(one["out_of_domain"] for one in told)
    assert signals["question"]["beyond"] == sum(one["question_out_of_domain"] for one in told) == 1
    bound = model.session.settings.confidence.sure_above
    assert signals["confidence"]["scores"] == 3
    assert signals["confidence"]["beyond"] == sum(one["confidence"] <= bound for one in told[:3])
    assert signals["object_word"]["scores"] == 1  # of the blue picture alone it names a thing
    assert found["not_sure"]["other"] == {
        "answers": 3, "not_sure": sum(one["sure"] is False for one in told[:3])
    }  # fmt: skip
    assert found["requests"] == found["admissions"]["admitted"] == 5 and found["errors"] == 0
    assert 0 < found["p50_s"] <= found["p99_s"]


def test_drift_is_told_once_the_window_is_full(fresh, model):
    fill(fresh, WINDOW - 64)
    early = figures(fresh)["signals"]["picture"]
    assert early["psi"] is None and early["verdict"] == f"not yet: {WINDOW - 64} of {WINDOW} scores"
    fill(fresh, 128)
    reference = model.ood_detector.reference
    score = model.pictures([model.session.pixels(tiny.pictures(1))[0]])[0][2]
    counts = [0] * len(reference.counts)
    counts[reference.bin(score)] = WINDOW
    late = figures(fresh)["signals"]["picture"]
    assert late["psi"] == pytest.approx(reference.psi(counts)) and late["window"] == WINDOW
    assert late["verdict"] == f"drifted (PSI {late['psi']:.2f})"
    assert late["expected_beyond"] == pytest.approx(0.5)  # as tests.support.serving makes it


def test_a_window_forgets_what_was_before_it(fresh):
    post(fresh, CHAT, chat(ASKED, BLUE, max_tokens=2))
    fill(fresh)
    first = figures(fresh)["signals"]["picture"]["psi"]
    fill(fresh)
    assert figures(fresh)["signals"]["picture"]["psi"] == first


def test_an_older_bundle_says_that_drift_is_not_available(model):
    with running(create_app(older(model), deployed(batch=4))) as address:
        fill(address)
        found = figures(address)
        assert post(address, CHAT, chat(max_tokens=2)).status_code == 200
        said = run(address).stdout
    assert {one["verdict"] for one in found["signals"].values()} == {
        "not available: the bundle has no scores of val, or too few"
    }
    assert found["signals"]["picture"]["scores"] == WINDOW and said.count("not available") == len(SIGNALS)


def test_refusals_for_load_are_counted_by_their_reason(model):
    limits = {"queue": 1, "inside_bytes": 5000}
    with running(create_app(Slow(model, 0.5), deployed(batch=4, **limits))) as address:
        assert post(address, "/search", {"text": "x" * 6000, "k": 1}).status_code == 429
        blue = chat(ASKED, BLUE, max_tokens=2)
        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(lambda _: post(address, CHAT, blue).status_code, range(4)))
        admissions = figures(address)["admissions"]
    assert {200, 429} == set(statuses)
    assert admissions == {
        "admitted": statuses.count(200), "full": statuses.count(429), "bytes": 1, "stopping": 0
    }  # fmt: skip


def test_nothing_that_was_asked_is_in_a_label(fresh):
    post(fresh, CHAT, chat("Is there a canarybird?", max_tokens=2))
    post(fresh, "/search", {"text": "canarybird", "k": 1})
    httpx.get(f"{fresh}/canarybird?canarybird=1", headers={"X-canarybird": "canarybird"})
    text = httpx.get(f"{fresh}/metrics").text
    assert "canary" not in text
    fixed = {*SIGNALS, *KINDS, *OUTCOMES, *SURE.values(), "within", "beyond"}
    families = [each for each in text_string_to_metric_families(text) if each.name.startswith("sightline_")]
    labels = {
        (name, value) for each in families for one in each.samples for name, value in one.labels.items()
    }
    assert {
        value for name, value in labels if name in ("signal", "kind", "outcome", "sure", "bound")
    } == fixed
    assert {value for name, value in labels if name == "reason"} == {*REASONS, *LIMIT_REASONS}
    assert {name for name, _ in labels} == {
        "signal", "kind", "outcome", "sure", "bound", "route", "status", "reason", "le"
    }  # fmt: skip


def run(address, *words, code=0):
    return command_line.run(command_line.ROOT, "monitor", address, *words, torch=False, code=code)


def test_the_command_prints_words_and_json(fresh):
    post(fresh, CHAT, chat(max_tokens=2))
    rows = dict(line.split("  ", 1) for line in run(fresh).stdout.splitlines())
    assert rows["requests"].strip() == "1 since the server started"
    assert rows["errors of the server"].strip() == "0 of 1 (0.0 %)"
    assert "1 of 256 scores" in rows["drift of questions"]
    assert rows["safety filter"].strip() == "nothing refused, marked or masked"
    document = json.loads(run(f"{fresh}/metrics", "--json").stdout)
    assert document["requests"] == 1 and set(document["signals"]) == set(SIGNALS)


def test_watching_counts_what_came_since(fresh):
    post(fresh, "/search", {"text": "a cup", "k": 1})
    command = command_line.command("monitor", fresh, "--watch", "--json", torch=False)
    listens = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # no background job does
    with subprocess.Popen(
        command, env=command_line.environment(PYTHONUNBUFFERED="1"), stdout=subprocess.PIPE, text=True,
        preexec_fn=listens,
    ) as watching:  # fmt: skip
        first = json.loads(watching.stdout.readline())
        for _ in range(2):
            post(fresh, "/search", {"text": "a cup", "k": 1})
        second = json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
    assert (first["requests"], second["requests"]) == (1, 2)


def test_after_a_restart_counts_are_of_the_new_server(fresh):
    post(fresh, "/search", {"text": "a cup", "k": 1})
    before = metrics_reader.read(fresh, None)
    many = {
        name: {labels: value + 9 for labels, value in rows.items()} for name, rows in before.samples.items()
    }
    assert metrics_reader.figures(before, metrics_reader.Reading(many))["requests"] == 1


def test_another_server_behind_the_same_address_is_no_new_traffic(fresh):
    """Behind a proxy readings alternate between servers; one that has answered more is not asked more."""
    post(fresh, "/search", {"text": "a cup", "k": 1})
    mine = metrics_reader.read(fresh, None)
    other = {name: {key: value + 9 for key, value in rows.items()} for name, rows in mine.samples.items()}
    theirs = metrics_reader.Reading(other)
    assert mine.follows(metrics_reader.read(fresh, None)) and not theirs.follows(mine)
    asked = metrics_reader.figures(theirs)["requests"]
    assert asked > 9 and metrics_reader.figures(theirs, mine)["requests"] == asked


def test_keys_are_sent_and_asked_for(model, tmp_path, monkeypatch):
    keys = tmp_path / "keys.env"
    keys.write_text(f"MONITOR={KEY}\n")
    with running(create_app(model, deployed(batch=4), [KEY])) as address:
        refused = run(address, code=2).stderr
        assert "asks for a key: give --keys FILE" in refused and len(refused.splitlines()) == 1
        assert "requests" in run(address, "--keys", keys).stdout
        monkeypatch.setenv("SIGHTLINE_SERVE__KEYS", str(keys))
        assert "requests" in run(address).stdout


def test_what_is_no_server_of_ours_is_named(model, tmp_path):
    with running(create_app(model, deployed(batch=4, metrics=False))) as address:
        assert "`metrics: false`" in run(address, code=2).stderr
        with running(elsewhere(address)) as other:
            assert "expected status 200, got 307" in run(other, code=2).stderr
    with running(texts("hello 1\n")) as address:
        assert "no metrics of a Sightline server" in run(address, code=2).stderr
    assert "no answer" in run("http://127.0.0.1:9", code=2).stderr
    for wrong in ("127.0.0.1:8000", "file:///etc/passwd", "http://"):
        assert "expected the address of a server" in run(wrong, code=2).stderr


def elsewhere(address):
    """A server that sends everybody, with his key, to another one."""
    return answering(307, {"location": f"{address}/metrics"}, "")


def texts(text):
    return answering(200, {}, text)


def answering(status, headers, text):
    from fastapi import FastAPI, Response

    app = FastAPI()
    app.add_api_route("/metrics", lambda: Response(text, status, headers, "text/plain"))
    return app


def test_quantiles_are_those_of_prometheus():
    name = "sightline_latency_seconds_bucket"
    counts = {"0.1": 10.0, "1.0": 90.0, "10.0": 100.0, "+Inf": 100.0}
    rows = {frozenset({("route", "/search"), ("le", le)}): count for le, count in counts.items()}
    rows[frozenset({("route", "/metrics"), ("le", "+Inf")})] = 500.0  # asks nothing of the model
    reading = metrics_reader.Reading({name: rows})
    assert metrics_reader.quantile(reading, 0.5) == pytest.approx(0.1 + 0.9 * 40 / 80)
    assert metrics_reader.quantile(reading, 0.99) == pytest.approx(1 + 9 * 9 / 10)
    assert metrics_reader.quantile(metrics_reader.Reading({}), 0.5) is None
