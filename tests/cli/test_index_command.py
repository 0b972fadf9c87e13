"""`sightline index`, `search --index`, `doctor` as users run them, without torch."""

import csv
import json
import re
import shutil

import pytest
from PIL import Image

from sightline_lab.faults import dear_pictures
from tests.support import command_line, tiny
from tests.support.command_line import ROOT


@pytest.fixture
def run(tmp_path, bundle):
    def call(*words, code=0, cwd=tmp_path):
        return command_line.run(cwd, *words, "--bundle", bundle, torch=False, code=code)

    return call


def table(folder, name, rows):
    with open(folder / name, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["title", "description", "image_url", "id"], *rows])
    return folder / name


def test_a_table_is_indexed_searched_and_changed(run, tmp_path):
    for number, rgb in enumerate(tiny.pictures(3)):
        Image.fromarray(rgb).save(tmp_path / f"{number}.png")
    rows = [[f"thing {n}", tiny.CAPTIONS[n], f"{n}.png", f"i{n}"] for n in range(3)]
    rows += [
        ["words only", "a red cube", "", "text"],
        ["", "", "", "empty"],
        ["far", "x", "https://a.example/x.png", "far"],
    ]
    first = table(tmp_path, "items.csv", rows)
    made = json.loads(run("index", first, "-o", "mine", "--json").stdout)
    assert (made["items"], made["with_picture"], made["factory"]) == (5, 3, "Flat")
    assert made["refused"] == {"empty_text": 1, "image_remote": 1}
    found = json.loads(run("search", tmp_path / "1.png", "--index", "mine", "--k", 2, "--json").stdout)
    assert len(found["results"]) == 2 and "out_of_domain" in found
    more = table(
        tmp_path, "more.csv", [["new", "a yellow ring", "", "new"], ["thing 1 again", "y", "", "i1"]]
    )
    said = run("index", more, "-o", "mine", "--add", "--delete", "far").stdout
    assert "5 items in mine (2 with a picture; 2 encoded, 1 deleted)" in said
    found = json.loads(run("search", "a yellow ring", "--index", "mine", "--k", 99, "--json").stdout)
    assert {row["id"]: row["text"] for row in found["results"]} == {
        "i0": "thing 0", "i1": "thing 1 again", "i2": "thing 2", "text": "words only", "new": "new",
    }  # fmt: skip
    run("index", "-o", "mine", "--delete", "nobody", code=2)
    assert json.loads(run("search", "x", "--index", "mine", "--json").stdout)["results"]
    run("index", first, "-o", "mine")
    found = json.loads(run("search", "x", "--index", "mine", "--k", 99, "--json").stdout)
    assert {row["id"] for row in found["results"]} == {"i0", "i1", "i2", "text", "far"}


def test_results_say_what_was_searched_and_where_each_picture_is(run, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number, color in enumerate(("red", "blue", "yellow")):  # noise would not outlive JPEG
        Image.new("RGB", (44, 40), color).save(tmp_path / "pictures" / f"{number}.png")
    rows = [[f"thing {n} <b>", tiny.CAPTIONS[n], f"pictures/{n}.png", f"i{n}"] for n in range(3)]
    rows.append(["words only", "a red cube", "", "text"])
    made = run("index", table(tmp_path, "items.csv", rows), "-o", "mine").stdout
    assert "4 items in mine (3 with a picture" in made
    asked = ("search", tmp_path / "pictures" / "1.png", "--index", "mine", "--k", 9, "--kind", "image")
    found = json.loads(run(*asked, "--json", "--page", "found.html").stdout)
    assert found["searched"] == "4 items" and len(found["results"]) == 3
    assert found["results"][0]["id"] == "i1" and found["results"][0]["score"] > 0.9
    assert {"id", "score", "text", "from"} == found["results"][0].keys()
    assert {hit["id"]: hit["from"] for hit in found["results"]} == {
        f"i{n}": f"pictures/{n}.png" for n in range(3)
    }
    page = (tmp_path / "found.html").read_text(encoding="utf-8")
    assert page.count("data:image/") == 4  # the query and three results
    assert "thing 1 &lt;b&gt;" in page and "thing 1 <b>" not in page
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", page)  # nothing is loaded from elsewhere
    said = run("search", "a red ball", "--index", "mine", "--page", "found.html").stdout
    assert "\n           pictures/0.png\n" in said
    assert "search: the 4 nearest to the words of 4 items in mine" in said and "wrote found.html" in said
    assert "no picture here" in (tmp_path / "found.html").read_text(encoding="utf-8")
    (tmp_path / "notes.html").write_text("mine")
    run("search", "a red ball", "--index", "mine", "--page", "notes.html", code=2)
    assert (tmp_path / "notes.html").read_text() == "mine"


def test_refused_rows_are_named_and_kept_beside_the_index(run, tmp_path):
    rows = [["thing", "a red cube", "", "good"], ["", "", "", "empty"]]
    rows += [[f"thing {n}", "x", f"{n}.png", f"lost-{n}"] for n in range(7)]
    first = table(tmp_path, "items.csv", rows)
    (tmp_path / "dear.gif").write_bytes(dear_pictures.gif_of_comments(4 << 20))
    dear = table(tmp_path, "dear.csv", [*rows[:1], ["thing", "x", "dear.gif", "dear"]])
    assert "index: 1 refused: image_too_dear" in run("index", dear, "-o", "other").stdout
    said = run("index", first, "-o", "mine").stdout
    assert "index: 1 refused: empty_text" in said and "index: 7 refused: image_missing" in said
    assert said.count("index: refused ") == 5 and "index: refused lost-0: " in said
    assert "all 8 refused rows and pictures are in mine/rejected.jsonl" in said
    kept = [json.loads(line) for line in (tmp_path / "mine" / "rejected.jsonl").read_text().splitlines()]
    assert {row["id"] for row in kept} == {"empty", *(f"lost-{n}" for n in range(7))}
    told = json.loads(run("index", first, "-o", "mine", "--json").stdout)
    assert told["refused_rows"] == kept[:5]
    assert run("index", "-o", "mine", "--delete", "good").stdout.count("refused") == 0
    assert (tmp_path / "mine" / "rejected.jsonl").is_file()


def test_the_doctor_reads_all_of_an_index(run, tmp_path):
    run("index", table(tmp_path, "items.csv", [["thing", "a red cube", "", "i0"]]), "-o", "mine")
    assert re.search(r"ok +index: \d+ files", run("doctor", "--index", "mine").stdout)
    path = tmp_path / "mine" / "text.faiss"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    told = run("doctor", "--index", "mine", code=1).stdout
    assert re.search(r"WRONG index: .*text\.faiss: expected sha256", told) and "sightline index" in told
    refused = run("search", "a red cube", "--index", "mine", "--kind", "text", code=2).stderr
    assert "text.faiss: expected sha256" in refused


def test_a_question_reads_the_captions_of_similar_pictures(run, tmp_path):
    for number, rgb in enumerate(tiny.pictures(3)):
        Image.fromarray(rgb).save(tmp_path / f"{number}.jpg")
    rows = [[f"thing {n}", tiny.CAPTIONS[n], f"{n}.jpg", f"i{n}"] for n in range(3)]
    run("index", table(tmp_path, "items.csv", rows), "-o", "mine")
    asked = ("ask", tmp_path / "1.jpg", "What color is the ball?")
    plain = json.loads(run(*asked, "--json").stdout)
    assert "retrieved" not in plain
    own = json.loads(run(*asked, "--retrieve", 5, "--index", "mine", "--json").stdout)
    told = {row["id"]: row["text"] for row in own["retrieved"]}
    assert told == {n: f"thing {n[1]}. {tiny.CAPTIONS[int(n[1])]}" for n in ("i0", "i2")}
    assert own["confidence"] != plain["confidence"]
    said = run(*asked, "--retrieve", 1).stdout.splitlines()
    assert len(said) == 5 and said[3].startswith("read: ") and said[4].startswith("try: ")
    assert "give both" in run(*asked, "--index", "mine", code=2).stderr


def test_impossible_changes_are_named_and_change_nothing(run, tmp_path):
    bad = table(tmp_path, "bad.csv", [["", "", "", "x"]])
    assert "no row can be used" in run("index", bad, "-o", "mine", code=2).stderr
    assert "give a table" in run("index", "-o", "mine", code=2).stderr
    assert "found no such folder" in run("index", "-o", "mine", "--delete", "x", code=2).stderr
    assert not (tmp_path / "mine").exists()
    assert "mine" in run("search", "x", "--index", "mine", code=2).stderr


def test_an_index_never_replaces_what_the_folder_held(run, tmp_path):
    shop = tmp_path / "shop"
    (shop / "originals").mkdir(parents=True)
    (shop / "notes.txt").write_text("mine")
    first = table(shop, "items.csv", [["thing", "a red cube", "", "i0"]])
    said = run("index", first, "-o", shop, code=2).stderr
    assert "found a folder with other files" in said and f"for example {shop / 'index'}" in said
    run("index", first, "-o", tmp_path / "shop" / "notes.txt", code=2)
    assert sorted(path.name for path in shop.iterdir()) == ["items.csv", "notes.txt", "originals"]
    run("index", first, "-o", shop / "index")  # what the message advises
    (tmp_path / "big").mkdir(), (tmp_path / "link").symlink_to("big")
    for _ in range(2):
        run("index", first, "-o", "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "big" / "manifest.json").is_file()
    assert json.loads(run("search", "x", "--index", "link", "--json").stdout)["results"]


def test_the_doctor_finds_nothing_wrong_with_a_whole_bundle(run):
    told = json.loads(run("doctor", "--json").stdout)
    assert told["ok"] and {"python", "packages", "bundle"} <= {check["name"] for check in told["checks"]}


def test_the_doctor_names_a_damaged_file_and_the_cure(bundle, tmp_path):
    broken = shutil.copytree(bundle, tmp_path / "bundle")
    data = (broken / "onnx" / "decoder.onnx").read_bytes()
    (broken / "onnx" / "decoder.onnx").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = command_line.run(tmp_path, "doctor", "--bundle", broken, torch=False, code=1)
    assert re.search(r"WRONG bundle: .*decoder\.onnx: expected sha256", done.stdout)
    assert "cure: copy it again" in done.stdout and "1 of 4 checks failed" in done.stdout


def test_the_doctor_compares_packages_with_the_lock(tmp_path):
    from sightline.cli import diagnostics

    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    (tmp_path / "requirements.txt").write_text(
        re.sub(r"numpy==\S+", "numpy==0.0.1", lock)
        + "no-such-package==1.0\nother==1 ; sys_platform == 'nowhere'\n"
    )
    found = diagnostics.packages(tmp_path)
    assert not found.ok and "numpy" in found.found and "(required ==0.0.1)" in found.found
    assert "no-such-package missing (required ==1.0)" in found.found and "other" not in found.found
    assert found.cure == f"python -m pip install -r {tmp_path / 'requirements.txt'}"


def test_without_a_checkout_the_doctor_compares_packages_with_the_distribution(monkeypatch):
    """Its cure installs the packages that are wrong by name, never a distribution called sightline."""
    from sightline.cli import diagnostics

    lines = ["numpy>=2,<99", "no-such-package>=1.2,<2", 'torch<0 ; extra == "train"']
    monkeypatch.setattr(diagnostics.importlib.metadata, "requires", lambda name: lines)
    monkeypatch.setattr(diagnostics.importlib.metadata, "version", {"sightline-vlm": "1", "numpy": "2.1"}.get)
    found = diagnostics.packages(None)
    assert not found.ok and found.found == "no-such-package missing (required <2,>=1.2)"
    assert found.cure == 'python -m pip install "no-such-package<2,>=1.2"'
    monkeypatch.setattr(diagnostics.importlib.metadata, "version", {}.get)
    assert diagnostics.packages(None).found == "sightline-vlm is not installed"


def test_the_doctor_says_what_a_checkout_lacks(tmp_path):
    from sightline.cli import diagnostics

    for name in ("dvc.yaml", "params.yaml", "requirements.txt"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    found = {check.name: check for check in diagnostics.examine(tmp_path, None)}
    assert not found["models/bundle"].ok and "dvc repro" in found["models/bundle"].cure
    assert not found["dvc"].ok  # a folder that is no DVC repository
