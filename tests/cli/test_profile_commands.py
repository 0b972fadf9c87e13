"""`sightline profile ask` and `profile serve`, as a user runs them: without torch, on a tiny bundle."""

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import pytest
from PIL import Image

from sightline.core import artifacts, profile_page, trace_events
from sightline.search import examples
from tests.support import command_line, tiny

QUESTION = tiny.QUESTIONS[0]


def profile(cwd, *words, code=0):
    return command_line.run(cwd, "profile", *words, torch=False, code=code)


def figures(folder):
    made = json.loads((folder / profile_page.FIGURES).read_text())
    for table in ("phases", "operators"):
        assert sum(row["ms"] for row in made[table]) == pytest.approx(made["ms"], rel=1e-3)
        assert sum(row["share"] for row in made[table]) == pytest.approx(1.0, abs=0.01)
    assert trace_events.of_events(trace_events.read(folder / trace_events.FILE))
    page = (folder / profile_page.PAGE).read_text()
    assert "://" not in page and "<script" not in page and all(row["name"] in page for row in made["phases"])
    return made


def table(made, title):
    found = next(each for each in made["tables"] if each["title"] == title)
    return {row[0]: row[1:] for row in found["rows"]}


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(tiny.pictures(1)[0]).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def changed(bundle, target, change):
    """A copy of the bundle with its files changed."""
    kept = shutil.ignore_patterns(artifacts.MANIFEST, "config.json", "README.md")
    with artifacts.create(target, "bundle", artifacts.load(bundle, "bundle").config, "# tiny") as folder:
        shutil.copytree(bundle, folder, ignore=kept, dirs_exist_ok=True)
        change(folder / examples.FOLDER)
    return target


def one_example(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    Image.fromarray(tiny.pictures(1)[0]).save(folder / "one.png")
    row = {"caption": "a cup", "file": "one.png", "questions": tiny.QUESTIONS[:2]}
    artifacts.write_json(folder / examples.TABLE, [row])


@contextmanager
def waiting_server(bundle, cwd):
    """(address, process) of `profile serve --requests 0`, ready; its user interrupts it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    process = subprocess.Popen(
        command_line.command("profile", "serve", "--requests", "0", "--bundle", bundle, torch=False),
        cwd=cwd, env=command_line.environment(SIGHTLINE_SERVE__PORT=port), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None, process.communicate()
            try:
                with urllib.request.urlopen(f"{address}/ready"):
                    break
            except OSError:
                time.sleep(0.05)
        yield address, process
    finally:
        process.kill()
        process.wait()


def test_ask_answers_as_ask_does_and_says_where_the_time_goes(bundle, tmp_path, picture):
    answered = command_line.run(tmp_path, "ask", picture, QUESTION, "--bundle", bundle, "--json", code=0)
    done = profile(tmp_path, "ask", picture, QUESTION, "--repeat", 2, "--bundle", bundle)
    assert f"Q: {QUESTION}" in done.stdout
    assert f"A: {json.loads(answered.stdout)['answer']}".rstrip() in done.stdout
    made = figures(tmp_path / "plots/profile/ask")
    calls = {row["name"]: row["calls"] for row in made["phases"]}
    assert calls["decode picture"] == 2 and calls["search"] == 2 * 2 and calls["prefill"] == 2
    assert {"preprocess", "encode picture", "encode text", "decode step", "tokenizer"} <= calls.keys()
    graphs = table(made, "The graphs")
    assert graphs["decoder"][0] == calls["decode step"] and graphs["fusion"][0] == 0
    assert made["machine"]["question"] == QUESTION and made["machine"]["picture"] == "a.png"
    assert "load" in {span.name for span in trace_events.of_events(trace_events.read(
        tmp_path / "plots/profile/ask" / trace_events.FILE))}  # fmt: skip


def test_a_second_profile_replaces_the_first_and_no_file_of_another(bundle, tmp_path, picture):
    words = ["ask", picture, QUESTION, "--repeat", 1, "--bundle", bundle, "-o", "here"]
    for _ in range(2):
        profile(tmp_path, *words)
    (tmp_path / "here/index.html").write_text("<p>mine</p>")
    done = profile(tmp_path, *words, code=2)
    assert "nothing was changed" in done.stderr
    assert (tmp_path / "here/index.html").read_text() == "<p>mine</p>"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ask", "a.png", "a.png", QUESTION], "expected one"),
        (["ask", "missing.png", QUESTION], "missing.png: no such picture"),
        (["ask", "a.png", QUESTION, "--repeat", "0"], "--repeat"),
        (["ask", "a.png", QUESTION, "-o", "a.png"], "expected a folder"),
        (["serve", "--requests", "-1"], "--requests"),
        (["serve", "--clients", "0"], "--clients"),
        (["serve", "--env", "nowhere"], "nowhere"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_bad_value_is_refused_and_nothing_is_written(bundle, tmp_path, picture, words, said):
    done = profile(tmp_path, *words, "--bundle", bundle, code=2)
    assert said in done.stderr
    assert not list(tmp_path.rglob(profile_page.FIGURES))


def test_a_model_that_only_searches_says_so(searching_bundle, tmp_path, picture):
    done = profile(tmp_path, "ask", picture, QUESTION, "--bundle", searching_bundle, code=2)
    assert "searches only" in done.stderr


def test_serve_measures_what_requests_wait_for(bundle, tmp_path):
    with_examples = changed(bundle, tmp_path / "bundle", one_example)
    done = profile(tmp_path, "serve", "--requests", 9, "--clients", 3, "--bundle", with_examples)
    assert "Perfetto" in done.stdout
    made = figures(tmp_path / "plots/profile/serve")
    assert made["what"] == "serve: 9 requests"
    assert table(made, "Requests")["/v1/chat/completions: 200"][0] == 9
    way = table(made, "The way of a row")
    assert [row[0] for row in way.values()] == [9] * 4
    assert all(mean is not None and mean >= 0 for _, mean, _, _ in way.values())
    batches = table(made, "Batches")
    assert sum(rows for _, rows in batches.values()) == 9
    assert table(made, "The graphs")["memory"][0] == sum(number for number, _ in batches.values())
    events = trace_events.read(tmp_path / "plots/profile/serve" / trace_events.FILE)
    rows = [event for event in events if event["cat"] == "way of a row"]
    assert len({event["id"] for event in rows}) == 9
    assert [event["ph"] for event in rows].count("b") == [event["ph"] for event in rows].count("e") == 9 * 4


def test_a_bundle_without_examples_needs_requests_of_its_user(bundle, tmp_path):
    bare = changed(bundle, tmp_path / "bare", lambda folder: shutil.rmtree(folder, ignore_errors=True))
    done = profile(tmp_path, "serve", "--bundle", bare, code=2)
    assert "give --requests 0" in done.stderr


def test_serve_profiles_requests_of_others_until_it_is_interrupted(bundle, tmp_path):
    with waiting_server(bundle, tmp_path) as (address, process):
        body = json.dumps({"input": ["a red cup", "a ball"], "model": "sightline"}).encode()
        head = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{address}/v1/embeddings", body, head)) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    made = figures(tmp_path / "plots/profile/serve")
    assert table(made, "The way of a row")["its batch is in the model"][0] == 2
    assert table(made, "The graphs")["text_encoder"][0] >= 1


def test_a_server_that_nobody_asks_has_nothing_to_show(bundle, tmp_path):
    with waiting_server(bundle, tmp_path) as (_, process):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "no request reached the model" in err
    assert not list(tmp_path.rglob(profile_page.FIGURES))
