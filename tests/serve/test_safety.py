"""Safety policies over HTTP: each reason at every entrance, counted, and nothing without a policy."""

import json
import re
import shutil
import time
from pathlib import Path

import httpx2 as httpx
import openai
import pytest

from sightline.search.item_index import Entry
from sightline.search.user_index import write
from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from sightline.serve.deploy import environments
from sightline.serve.safety.policy import LIMIT_REASONS, REASONS
from tests.support import command_line, tiny
from tests.support.indexes import made
from tests.support.serving import chat, deployed, png, running, url

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 10
CHAT, COUNTER = "/v1/chat/completions", "sightline_safety_decisions_total"
ORDINARY, RACE = "What color is the ball?", "What race is the man?"
DESCRIBE = "Describe the image in detail."
HELD = {
    "email": "write to anna@example.org", "phone": "call (212) 555-0187", "card": "4111 1111 1111 1111",
    "iban": "GB82 WEST 1234 5698 7654 32", "ip": "camera 192.168.7.20", "blocked": "a shitty day",
    "clean": "a red ball",
}  # fmt: skip
OPEN = {"answers": {"unsure": "allow", "picture_out_of_domain": "allow", "question_out_of_domain": "allow"}}


def policy(folder, rules=None, **changes):
    """The path of a policy: the default with some changes, `rules`: those of its file."""
    shutil.copytree(ROOT / "deploy" / "safety", folder / "safety")
    given = {"extends": "default", **changes}
    if rules:
        (folder / "safety" / "own.yaml").write_text(json.dumps({"extends": "english", **rules}))
        given["rules"] = "own.yaml"
    (folder / "safety" / "mine.yaml").write_text(json.dumps(given))
    return str(folder / "safety" / "mine.yaml")


@pytest.fixture(scope="module")
def own_index(model, tmp_path_factory):
    """The folder of an index whose captions hold personal data."""
    rows = made(list(HELD), width=16)
    rows.entries[:] = [
        Entry(entry.id, HELD[entry.id], [HELD[entry.id]], entry.image, entry.text, entry.source)
        for entry in rows.entries
    ]
    folder = tmp_path_factory.mktemp("held") / "index"
    write(folder, model.session.search_digest(), 16, rows.blocks(), None)
    return folder


@pytest.fixture(scope="module")
def held(bundle, own_index):
    return Model.load(bundle, 4, own_index)


@pytest.fixture(scope="module")
def client(held, tmp_path_factory):
    """Of a server with the default policy, but for answers: random models are never sure."""
    path = policy(tmp_path_factory.mktemp("policy"), **OPEN)
    with running(create_app(held, deployed(batch=4, safety=path))) as address:
        with httpx.Client(base_url=address, timeout=60) as client:
            yield client


def counts(client):
    found = re.findall(rf'^{COUNTER}{{reason="(\w+)"}} (\d+)', client.get("/metrics").text, flags=re.M)
    return {reason: int(count) for reason, count in found}


def counted(client, call, least=0):
    """(what `call` returned, the reasons that were counted meanwhile: once `least` of them are)."""
    before = counts(client)
    answer, end = call(), time.monotonic() + WAIT_S
    while True:  # errors are counted when their answer is on its way
        after = counts(client)
        seen = {name: after[name] - before[name] for name in after if after[name] > before[name]}
        if len(seen) >= least or time.monotonic() > end:
            return answer, seen


def events(client, body):
    lines = client.post(CHAT, json=body | {"stream": True}).text.split("\n\n")
    assert lines[-2] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_every_reason_is_there_at_zero_from_the_start(model):
    with running(create_app(model, deployed(batch=4))) as address, httpx.Client(base_url=address) as client:
        assert counts(client) == dict.fromkeys((*REASONS, *LIMIT_REASONS), 0)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (RACE, "question_race"),
        ("Which religion does she follow?", "question_religion"),
        ("Is he pregnant or ill?", "question_health"),
        ("Is that woman gay?", "question_sexuality"),
        ("Who did he vote for?", "question_politics"),
        ("Is the man a thief?", "question_crime"),
        ("Who is this?", "question_identity"),
        ("ＷＨＡＴ r​aсe is the mаn?", "question_race"),
    ],
)
def test_a_question_about_a_person_is_refused_at_every_entrance(client, question, reason):
    expected = {"decision": "refused", "reasons": [reason]}
    told, seen = counted(client, lambda: client.post(CHAT, json=chat(question)))
    choice = told.json()["choices"][0]
    assert (told.status_code, choice["finish_reason"]) == (200, "content_filter")
    assert choice["message"]["content"] is None and "does not answer" in choice["message"]["refusal"]
    assert told.json()["safety"] == expected and "sightline" not in told.json()
    assert told.json()["usage"]["total_tokens"] == 0 and seen == {reason: 1}

    parts, seen = counted(client, lambda: events(client, chat(question)))
    assert parts[-1]["safety"] == expected and seen == {reason: 1}
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None, None, "content_filter"]
    assert "content" not in parts[1]["choices"][0]["delta"] and parts[1]["choices"][0]["delta"]["refusal"]

    body = {"image": url(png(tiny.pictures(1)[0])), "question": question}
    told, seen = counted(client, lambda: client.post("/explain", json=body))
    assert told.json() == {"question": question, "answer": None, "safety": expected}
    assert told.status_code == 200 and seen == {reason: 1}

    told, seen = counted(client, lambda: client.post("/search", json={"text": question}))
    assert told.json() == {"results": [], "safety": expected} and seen == {reason: 1}


def test_openais_client_reads_a_refusal(client):
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0) as ai:
        told = ai.chat.completions.create(**chat(RACE))
        assert told.choices[0].message.content is None and told.choices[0].message.refusal
        with ai.chat.completions.create(**chat(RACE), stream=True) as stream:
            parts = list(stream)
    assert "".join(part.choices[0].delta.refusal or "" for part in parts) == told.choices[0].message.refusal


def test_the_picture_of_a_refused_question_is_not_read(client):
    told = client.post(CHAT, json=chat(RACE, picture="data:image/png;base64,AAAA"))
    assert told.status_code == 200 and told.json()["safety"]["decision"] == "refused"
    broken = chat(picture="data:image/png;base64,AAAA")
    told, seen = counted(client, lambda: client.post(CHAT, json=broken), 1)
    assert told.json()["error"]["code"] == "invalid_image" and seen == {"request_invalid": 1}


def test_an_ordinary_question_is_answered_as_without_a_policy(client, held):
    def bare(body):
        return {key: body[key] for key in body if key not in ("id", "created", "safety")}

    explained = {"image": url(png(tiny.pictures(1)[0])), "question": ORDINARY}
    with running(create_app(held, deployed(batch=4))) as address:
        with httpx.Client(base_url=address, timeout=60) as plain:
            for route, body in ((CHAT, chat(ORDINARY)), ("/explain", explained)):
                without, told = plain.post(route, json=body).json(), client.post(route, json=body).json()
                assert "safety" not in without
                assert told["safety"] == {"decision": "allowed", "reasons": []}
                assert json.dumps(bare(told)) == json.dumps(bare(without))
            refused = plain.post(CHAT, json=chat(RACE)).json()
            assert refused["choices"][0]["message"]["content"] and "safety" not in refused
            unmasked = plain.post("/search", json={"text": "a ball", "k": 7}).json()
            assert {hit["text"] for hit in unmasked["results"]} == set(HELD.values())


def test_a_stream_says_the_same_as_the_whole_answer(client):
    whole, parts = client.post(CHAT, json=chat(ORDINARY)).json(), events(client, chat(ORDINARY))
    text = "".join(part["choices"][0]["delta"].get("content", "") for part in parts)
    assert text == whole["choices"][0]["message"]["content"]
    assert parts[-1]["sightline"] == whole["sightline"] and parts[-1]["safety"] == whole["safety"]


def test_personal_data_and_blocked_words_of_captions_are_masked(client):
    told, seen = counted(client, lambda: client.post("/search", json={"text": "a ball", "k": 7}))
    reasons = {
        "blocked_word",
        *(f"personal_data_{kind}" for kind in ("email", "phone", "card", "iban", "ip")),
    }
    assert {hit["id"]: hit["text"] for hit in told.json()["results"]} == {
        "email": "write to [email]", "phone": "call [phone]", "card": "[card]", "iban": "[iban]",
        "ip": "camera [ip]", "blocked": "a [word] day", "clean": "a red ball",
    }  # fmt: skip
    assert told.json()["safety"]["decision"] == "masked"
    assert set(told.json()["safety"]["reasons"]) == reasons and seen == dict.fromkeys(reasons, 1)
    told, seen = counted(client, lambda: client.post("/similar", json={"id": "clean", "k": 7}))
    assert {hit["text"] for hit in told.json()["results"]} & set(HELD.values()) == set()
    assert seen == dict.fromkeys(reasons, 1)


def test_captions_that_a_question_is_read_beside_are_masked(client):
    told = client.post(CHAT, json=chat(ORDINARY, sightline={"retrieval": 4})).json()
    texts = {hit["text"] for hit in told["sightline"]["retrieved"]}
    assert texts and texts & (set(HELD.values()) - {HELD["clean"]}) == set()
    assert told["safety"]["decision"] == "masked" and told["choices"][0]["message"]["content"]


def test_results_with_personal_data_can_be_left_out(held, tmp_path):
    kinds = {"phone": "allow", "email": "drop", "card": "drop", "iban": "drop", "ip": "drop"}
    path = policy(tmp_path, personal_data=kinds)
    with running(create_app(held, deployed(batch=4, safety=path))) as address:
        told = httpx.post(f"{address}/search", json={"text": "a ball", "k": 7}, timeout=60).json()
    assert {hit["text"] for hit in told["results"]} == {HELD["phone"], HELD["clean"], "a [word] day"}
    assert told["safety"]["decision"] == "masked" and "personal_data_phone" not in told["safety"]["reasons"]


@pytest.mark.parametrize(
    ("rule", "question"),
    [
        ("unsure", ORDINARY),
        ("picture_out_of_domain", ORDINARY),
        ("question_out_of_domain", "Is there a gnu?"),
    ],
)
@pytest.mark.parametrize("action", ["mark", "refuse"])
def test_doubtful_answers_are_marked_or_refused(model, tmp_path, rule, question, action):
    others = OPEN["answers"] | {"blocked_word": "allow"}
    kinds = dict.fromkeys(("email", "phone", "card", "iban", "ip"), "allow")
    path = policy(tmp_path, answers=others | {rule: action}, personal_data=kinds)
    reason = {"unsure": "answer_unsure"}.get(rule, rule)
    served = Model(model.session, _strict(model.ood_detector), model.index, 4)
    with running(create_app(served, deployed(batch=4, safety=path))) as address:
        with httpx.Client(base_url=address, timeout=60) as client:
            told, seen = counted(client, lambda: client.post(CHAT, json=chat(question)).json())
            parts = events(client, chat(question))
    message = told["choices"][0]["message"]
    assert told["safety"]["reasons"] == [reason] and seen == {reason: 1}
    assert told["safety"]["decision"] == {"mark": "marked", "refuse": "refused"}[action]
    assert (message["content"] is None) == (message["refusal"] is not None) == (action == "refuse")
    assert told["sightline"]["sure"] is False and parts[-1]["safety"] == told["safety"]
    words = [part["choices"][0]["delta"].get("content") for part in parts]
    assert any(words) == (action == "mark")  # none of a refused answer was sent before it was whole


def _strict(detector):
    """A detector to which every picture is out of domain, so that no answer is sure either."""
    return type(detector)(detector.mean_D, detector.precision_DD, 0.0)


@pytest.mark.parametrize("action", ["refuse", "mask"])
def test_blocked_words_of_answers_never_leave(model, tmp_path, action):
    with running(create_app(model, deployed(batch=4))) as address:
        sampled = [chat(DESCRIBE, temperature=2.0, seed=seed) for seed in range(20)]
        said = [httpx.post(address + CHAT, json=body, timeout=60).json() for body in sampled]
    texts = [one["choices"][0]["message"]["content"] for one in said]
    seed, word = next(
        (n, found[0]) for n, text in enumerate(texts) if (found := re.findall(r"[a-z]{2,}", text))
    )
    path = policy(tmp_path, {"blocked_words": [word]}, answers=OPEN["answers"] | {"blocked_word": action})
    body = chat(DESCRIBE, temperature=2.0, seed=seed, sightline={"explanation": True})
    with running(create_app(model, deployed(batch=4, safety=path))) as address:
        with httpx.Client(base_url=address, timeout=60) as client:
            told, seen = counted(client, lambda: client.post(CHAT, json=body))
            streamed = client.post(CHAT, json=body | {"stream": True}).text
    assert seen == {"blocked_word": 1} and told.json()["safety"]["reasons"] == ["blocked_word"]
    for text in (told.text, streamed):
        assert not re.search(rf'(?:content|word)": "[^"]*\b{word}\b', text, flags=re.IGNORECASE)
    if action == "mask":
        assert "[word]" in told.json()["choices"][0]["message"]["content"]


def test_a_limit_is_counted_by_its_reason(held, tmp_path):
    with running(create_app(held, deployed(batch=4, body_bytes=20))) as address:
        with httpx.Client(base_url=address, timeout=60) as client:
            told, seen = counted(client, lambda: client.post("/search", json={"text": "a red ball"}), 1)
    assert told.status_code == 413 and seen == {"request_too_large": 1}


def test_prod_and_staging_have_the_policy_and_dev_has_none():
    found = {name: environments.load(name, ROOT).safety for name in ("base", "dev", "staging", "prod")}
    default = str(ROOT / "deploy" / "safety" / "default.yaml")
    assert found == {"base": None, "dev": None, "staging": default, "prod": default}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: default\nquestions: {race: forbid}\n", "mine.yaml:2: questions.race: got 'forbid'"),
        ("extends: default\nquestion: {race: mark}\n", "mine.yaml:2: question: got an unknown key"),
        ("rules: english.yaml\n", "classifier.weights: got nothing"),
        ("extends: default\nrules: none.yaml\n", "mine.yaml:2: rules: got 'none.yaml'"),
        ("extends: defualt\n", "mine.yaml:1: extends: got 'defualt'"),
        ("extends: mine\n", "which does not extend this one"),
        ("extends: default\nanswers: {unsure: mask}\n", "allowed: refuse, mark, allow"),
        ("questions: [\n", "YAML"),
    ],
)
def test_mistakes_in_a_policy_are_told_before_anything_is_loaded(tmp_path, text, said):
    policy(tmp_path)
    (tmp_path / "safety" / "mine.yaml").write_text(text)
    (tmp_path / "site.yaml").write_text("extends: prod\nsafety: safety/mine.yaml\n")
    done = command_line.run(tmp_path, "serve", "--env", tmp_path / "site.yaml", torch=False, code=2)
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("pattern", ["who <is> <nobody>", "a & ", "what (race)"])
def test_a_pattern_that_is_none_is_told_with_its_line(tmp_path, pattern):
    policy(tmp_path, {"race": {"catch": [pattern]}})
    (tmp_path / "site.yaml").write_text("extends: prod\nsafety: safety/mine.yaml\n")
    done = command_line.run(tmp_path, "serve", "--env", tmp_path / "site.yaml", torch=False, code=2)
    assert "own.yaml:1: race" in done.stderr and "words and patterns" in done.stderr


def test_a_policy_is_found_by_file_variable_and_name(tmp_path, monkeypatch):
    mine = policy(tmp_path)
    words = ["serve", "--print-config", "--env", "dev"]

    def shown():
        done = command_line.run(tmp_path, *words, torch=False, code=0)
        return re.search(r"^safety = (.*)$", done.stdout, flags=re.M)[1]

    assert shown() == "None   (empty everywhere)"
    monkeypatch.setenv("SIGHTLINE_SERVE__SAFETY", "safety/mine.yaml")
    assert shown() == f"{mine!r}   (SIGHTLINE_SERVE__SAFETY)"
    monkeypatch.setenv("SIGHTLINE_SERVE__SAFETY", "nowhere.yaml")
    done = command_line.run(tmp_path, *words, torch=False, code=2)
    assert "SIGHTLINE_SERVE__SAFETY: safety: got 'nowhere.yaml'" in done.stderr
    words[-1] = "prod"
    monkeypatch.setenv("SIGHTLINE_SERVE__SAFETY", "")
    assert shown().startswith("None")
