"""`sightline push-to-hub` against a local server that speaks the Hub's API, as a user runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.core import artifacts
from tests.share.conftest import figure, lock
from tests.support import command_line
from tests.support.hub_server import TOKEN, hub_server

REPO = "ada/balls"


@pytest.fixture
def hub():
    with hub_server() as server:
        yield server


def push(checkout, hub, *words, code=0, repo=REPO, **environment):
    command = command_line.command("push-to-hub", repo, *words, torch=False)
    env = command_line.environment(**hub.environment(**environment))
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and done.returncode == code, done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return done


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def received(hub):
    return {name: data for name, data in (hub.files or {}).items() if name != ".gitattributes"}


def test_the_hub_receives_exactly_what_was_prepared_and_says_where(checkout, hub, tmp_path):
    said = push(checkout, hub, "--dry-run", tmp_path / "prepared").stdout
    assert hub.requests == [] and "uploaded nothing" in said
    before = tree(checkout / "models")
    said = push(checkout, hub).stdout
    prepared = tree(tmp_path / "prepared")
    assert received(hub) == prepared and tree(checkout / "models") == before
    assert {name for name in prepared if name.endswith(".onnx")} and hub.stored  # some went as large files
    assert f"{hub.url}/{REPO} holds the bundle as commit {hub.head}" in said
    assert f"hf download {REPO} --revision {hub.head} --local-dir balls" in said
    size = sum(map(len, prepared.values()))
    assert f"{len(prepared)} files, {size / 1e6:.2f} MB, license apache-2.0" in said
    assert "the search index publishes ids, titles and texts of 10 items" in said
    assert len(hub.commits) == 1 and not hub.private and hub.validated == [prepared["README.md"].decode()]
    assert {f"bundle/{name}" for name in prepared} == before.keys()


def test_what_was_pushed_is_fetched_and_asked(checkout, hub, tmp_path):
    push(checkout, hub, "--private")
    assert hub.private
    hf = Path(sys.executable).with_name("hf")
    command = [hf, "download", REPO, "--revision", hub.head, "--local-dir", "balls"]
    env = command_line.environment(**hub.environment(HF_HOME=str(tmp_path / "home")))
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    fetched = tree(tmp_path / "balls")
    assert {name: fetched[name] for name in received(hub)} == received(hub)
    assert ".gitattributes" in fetched and any(name.startswith(".cache/") for name in fetched)
    artifacts.load(tmp_path / "balls", "bundle", everything=True)
    row = json.loads(
        command_line.run(tmp_path, "ask", "--bundle", "balls", "--json", torch=False, code=0).stdout
    )
    assert row["answer"]
    assert command_line.run(tmp_path, "search", "a red ball", "--bundle", "balls", torch=False, code=0).stdout


def test_a_second_push_sends_no_large_file_again_and_removes_what_is_gone(checkout, hub):
    push(checkout, hub)
    sent = sum(command == "PUT" for command, _, _ in hub.requests)
    hub.files["examples/old.png"] = b"of an earlier bundle"
    said = push(checkout, hub, "--license", "mit").stdout
    assert sum(command == "PUT" for command, _, _ in hub.requests) == sent > 0
    assert "removed examples/old.png; the repository's history keeps them" in said
    assert "examples/old.png" not in hub.files and ".gitattributes" in hub.files
    assert b"license: mit\n" in hub.files["README.md"]


@pytest.mark.parametrize(
    ("path", "status", "advice"),
    [
        ("repos/create", 401, "run `hf auth login`, or set HF_TOKEN"),
        ("repos/create", 500, "files that it has already are not sent again"),
        ("preupload", 403, "your token may not write there"),
        ("/store/", 403, "your token may not write there"),
        ("commit/main", 409, "somebody else is changing the repository: try again"),
        ("commit/main", 500, "files that it has already are not sent again"),
    ],
)
def test_a_refused_upload_says_what_to_do_and_changes_nothing(checkout, hub, path, status, advice):
    hub.refuse[path] = status
    before = tree(checkout)
    error = push(checkout, hub, code=2).stderr
    assert f"{REPO}: the Hub answered {status} (refused with {status})" in error and advice in error
    assert "nothing was published, and the bundle here is as it was" in error
    assert received(hub) == {} and tree(checkout) == before


def test_a_stranger_an_unreachable_hub_and_offline_mode_are_told_apart(checkout, hub):
    assert "the Hub answered 401" in push(checkout, hub, code=2, HF_TOKEN="hf_wrong").stderr
    away = push(checkout, hub, code=2, HF_ENDPOINT="http://127.0.0.1:9").stderr
    assert "is http://127.0.0.1:9 reachable?" in away and "nothing was published" in away
    offline = push(checkout, hub, code=2, HF_HUB_OFFLINE="1").stderr
    assert "HF_HUB_OFFLINE forbids the network" in offline and "unset it" in offline


def test_what_is_not_a_bundle_of_ours_is_not_replaced(checkout, hub):
    push(checkout, hub)
    hub.files = {".gitattributes": b"", "model.safetensors": b"somebody's", "config.json": b"{}"}
    kept = dict(hub.files)
    assert "holds other files (config.json, model.safetensors)" in push(checkout, hub, code=2).stderr
    assert hub.files == kept
    hub.files = {".gitattributes": b""}
    assert "is there and public" in push(checkout, hub, "--private", code=2).stderr


def test_a_model_below_its_bounds_is_published_only_on_demand_and_says_so(checkout, hub):
    params = (checkout / "params.yaml").read_text()
    (checkout / "params.yaml").write_text(re.sub(r"min_vqa_accuracy:", "min_vqa_accuracy: 99.0", params))
    error = push(checkout, hub, code=2).stderr
    assert "the quality gate did not pass" in error and "--even-if-gate-failed" in error
    reached, _, _ = figure(checkout, "test", "vqa_accuracy")
    failed = f"shipped (int4) test vqa_accuracy is {reached}, must be at least 99"
    assert failed in error and hub.requests == []
    push(checkout, hub, "--even-if-gate-failed")
    assert f"FAILED: {failed}".encode() in hub.files["README.md"]


def test_figures_of_another_bundle_are_not_published(checkout, hub, tmp_path):
    folder = checkout / "models" / "bundle"
    artifacts.write_json(
        folder / "generation.json", artifacts.read_json(folder / "generation.json") | {"more": 1}
    )
    assert "is not what dvc.lock records" in push(checkout, hub, code=2).stderr
    lock(checkout, reported="f.dir")
    assert "are of an earlier bundle: run `dvc repro report`" in push(checkout, hub, code=2).stderr
    elsewhere = checkout / "models" / "other"
    folder.rename(elsewhere)
    assert "give that bundle" in push(checkout, hub, "--bundle", elsewhere, code=2).stderr
    outside = tmp_path / "outside"
    elsewhere.rename(outside)
    assert "no dvc.yaml and params.yaml" in push(checkout, hub, "--bundle", outside, code=2).stderr
    assert hub.requests == []


def test_a_damaged_bundle_is_not_published(checkout, hub):
    graph = next((checkout / "models" / "bundle" / "onnx").glob("*.onnx"))
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    lock(checkout)
    assert "expected sha256" in push(checkout, hub, code=2).stderr and hub.requests == []


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        ("hf_" + "a" * 34, "a token of the Hub"),
        ("AKIA" + "A" * 16, "an access key of AWS"),
        ("https://ada:pass@a.example/x.png", "an address with a password"),
        ("https://a.example/x.png?width=3&X-Amz-Signature=abc", "a signed address"),
    ],
)
def test_a_secret_in_the_index_is_not_published(checkout, hub, secret, kind):
    folder = checkout / "models" / "bundle"
    examples = artifacts.read_json(folder / "examples" / "examples.json")
    examples[0]["caption"] = f"from {secret}"
    artifacts.write_json(folder / "examples" / "examples.json", examples)
    files = {name: artifacts.sha256(folder / name) for name in tree(folder) if name != "manifest.json"}
    artifacts.write_json(folder / "manifest.json", {"kind": "bundle", "files": files})
    lock(checkout)
    error = push(checkout, hub, code=2).stderr
    assert f"{kind} would be published" in error and "examples.json:" in error and secret not in error
    assert hub.requests == []


def test_a_name_without_an_owner_is_refused(checkout, hub):
    assert "give OWNER/NAME" in push(checkout, hub, repo="balls", code=2).stderr
