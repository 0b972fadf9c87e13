"""`sightline ask` and `search`: one picture, many, folders, addresses, and texts that are no paths."""

import json
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image
from typer.testing import CliRunner

from sightline.cli import ask as ask_module
from sightline.cli.app import app
from sightline.serve import image_input
from sightline_lab.faults import dear_pictures
from tests.support import tiny

QUESTION = tiny.QUESTIONS[0]


@pytest.fixture
def run(bundle, tmp_path, monkeypatch):
    """The command in a folder of pictures 0.png to 9.png."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shots").mkdir()
    for number, rgb in enumerate(tiny.pictures(10)):
        Image.fromarray(rgb).save(tmp_path / "shots" / f"{number}.png")

    def call(*words, code=0):
        done = CliRunner().invoke(app, [*map(str, words), "--bundle", str(bundle)])
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return call


def rows(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_last_argument_is_the_question_unless_it_names_a_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    (tmp_path / "What").mkdir()
    for arguments, pictures, question in (
        (["a.png", "Is it red?"], ["a.png"], "Is it red?"),
        (["a.png", "What"], ["a.png", "What"], None),  # a folder
        (["a.png", "https://a.example/b"], ["a.png", "https://a.example/b"], None),
        (["a.png", "b.PNG"], ["a.png", "b.PNG"], None),  # misspelt, to be reported as a picture
        (["a.png", "Is this b.png"], ["a.png"], "Is this b.png"),
        (["How many?"], [], "How many?"),
        (["x" * 300], [], "x" * 300),
        ([], [], None),
    ):
        assert ask_module.split(arguments) == (pictures, question)


def test_a_folder_an_archive_and_files_are_answered_like_each_picture_alone(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "shots.zip", "w") as archive:
        for path in sorted((tmp_path / "shots").iterdir()):
            archive.write(path, path.name)
    folder = rows(run("ask", "shots", QUESTION, "--json"))
    assert [row["image"] for row in folder] == [f"shots/{number}.png" for number in range(10)]
    assert {row["question"] for row in folder} == {QUESTION}
    archive = rows(run("ask", "shots.zip", QUESTION, "--json"))
    assert [row | {"image": ""} for row in archive] == [row | {"image": ""} for row in folder]
    several = rows(run("ask", "shots/3.png", "shots/8.png", QUESTION, "--json"))
    assert several == [folder[3], folder[8]]
    for number in (0, 9):
        assert rows(run("ask", f"shots/{number}.png", QUESTION, "--json")) == [folder[number]]
    text = run("ask", "shots", QUESTION).stdout
    assert text.count("image: shots/") == text.count("\nA: ") == 10
    assert text.endswith(f'try: sightline explain "shots/9.png" "{QUESTION}"\n')


def test_what_cannot_be_read_is_named_and_the_rest_is_answered(run, tmp_path):
    (tmp_path / "shots" / "4.png").write_bytes(b"\x89PNG no")
    done = run("ask", "shots", "missing.png", "--json", code=2)
    assert [row["image"][-5] for row in rows(done)] == list("012356789")
    assert "shots/4.png" in done.stderr and "missing.png: no such picture" in done.stderr


def test_a_dear_picture_is_named_and_the_rest_is_answered(run, tmp_path):
    (tmp_path / "shots" / "4.png").write_bytes(dear_pictures.ppm_of_numbers(14 << 20))
    done = run("ask", "shots", "shots/4.png", "shots/5.png", QUESTION, "--json", code=2)
    assert [row["image"][-5] for row in rows(done)] == list("0123567895")
    assert done.stderr.count("shots/4.png takes more time to decode") == 2
    assert "shots/4.png takes more time to decode" in str(run("search", "shots/4.png", code=1).exception)
    (tmp_path / "shots" / "4.png").write_bytes(dear_pictures.gif_of_comments(1 << 20))
    assert "4.png has more than 20,000 blocks" in str(run("search", "shots/4.png", code=1).exception)


def test_addresses_are_refused_without_fetch(run):
    done = run("ask", "shots/1.png", "https://a.example/b.png", QUESTION, code=1)
    assert "fetched from the internet only with --fetch" in str(done.exception) and done.stdout == ""
    done = run("search", "https://a.example/b.png", code=1)
    assert "only with --fetch" in str(done.exception)
    done = run("ask", "http://a.example/b.png", QUESTION, "--fetch", code=1)
    assert "https:// address" in str(done.exception)


def test_fetch_never_reaches_this_machine(run):
    done = run("ask", "https://127.0.0.1:9/b.png", QUESTION, "--fetch", code=2)
    assert "https://127.0.0.1:9/b.png: the picture cannot be fetched" in done.stderr and done.stdout == ""


def test_fetched_pictures_are_answered_as_files_are(run, tmp_path, monkeypatch):
    """A real server on loopback stands for the public one: plain HTTP, let through by the guard's list."""
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "shots")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    real = image_input.open_connection
    monkeypatch.setattr(
        image_input,
        "open_connection",
        lambda url, timeout_s, public_only, allow: real(
            url._replace(scheme="http"), timeout_s, public_only, ("127.0.0.0/8",)
        ),
    )
    address = f"https://127.0.0.1:{server.server_port}"
    try:
        fetched = rows(run("ask", f"{address}/2.png", "shots/2.png", QUESTION, "--fetch", "--json"))
        assert fetched[0]["image"] == f"{address}/2.png"
        assert fetched[0] | {"image": ""} == fetched[1] | {"image": ""}
        found = json.loads(run("search", f"{address}/2.png", "--fetch", "--json").stdout)
        assert found["results"] == json.loads(run("search", "shots/2.png", "--json").stdout)["results"]
        gone = run("ask", f"{address}/none.png", QUESTION, "--fetch", code=2)
        assert "none.png: the picture cannot be fetched: status 404" in gone.stderr
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "query", ["a quiet harbour at dawn " * 12, "清晨的港口里停着几艘红色和蓝色的渔船，" * 5]
)
def test_a_text_too_long_for_a_path_is_searched_as_a_text(run, query):
    assert len(query.encode()) > 255
    done = run("search", query, "--json")
    found = json.loads(done.stdout)
    assert found["results"] and found["query_cut"] is True
    assert f"only the first {tiny.MAX_TEXT} tokens of this query are read" in done.stderr
    assert "to the words" in run("search", "a red ball").stdout


def test_a_question_that_is_cut_is_said_to_be(run):
    long = "Please look carefully at every part of this picture before you answer: " * 2 + QUESTION
    done = run("ask", "shots/1.png", long, "--json")
    assert rows(done)[0]["question_cut"] is True
    assert f"only the first {tiny.MAX_QUESTION} tokens of this question are read" in done.stderr
    short = run("ask", "shots/1.png", QUESTION, "--json")
    assert rows(short)[0]["question_cut"] is False and "tokens" not in short.stderr


def test_a_model_without_answers_says_so_and_searches(searching_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(tiny.pictures(1)[0]).save(tmp_path / "0.png")
    of_bundle = ["--bundle", str(searching_bundle)]
    refused = CliRunner().invoke(app, ["ask", "0.png", QUESTION, *of_bundle])
    assert refused.exit_code and "built without answering" in str(refused.exception)
    for query in ("a red ball", "0.png"):
        found = CliRunner().invoke(app, ["search", query, "--k", "3", "--json", *of_bundle])
        assert found.exit_code == 0, found.output
        assert len(json.loads(found.stdout)["results"]) == 3
