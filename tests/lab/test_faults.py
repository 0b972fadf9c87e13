"""The fault battery: it resumes, replays and bounds; every promise holds in some cases, and is found broken
where the product is sabotaged."""

import asyncio
import contextlib
import hashlib
import re
import secrets
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi import FastAPI, Response
from ruamel.yaml import YAML

from sightline.cli import dvc_outs, verification
from sightline.core import artifacts, plain_text, templates
from sightline.data import archives
from sightline.data.image_workers import ImageWorkers
from sightline.data.intake import build_items
from sightline.search import user_index
from sightline_lab.faults import battery, command_server, reliability_page
from sightline_lab.faults.battery import Broken, Outcome, Promise
from sightline_lab.faults.promises import PROMISES
from sightline_lab.faults.rows import (
    access,
    connection_abuse,
    connections,
    model_files,
    private_texts,
    sabotage,
)
from tests.support import serving

ROOT = Path(__file__).resolve().parents[2]
SEED = 7


def some(row, cases, tmp_path):
    """The outcome of the first cases of a row."""
    try:
        return battery.run(PROMISES[row], cases, SEED, tmp_path / "state", print)
    except battery.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A folder with an artifact, and a plot in the cache and in dvc.lock, as after `dvc repro`."""
    with artifacts.create(tmp_path / "models" / "clip", "clip", {"size": 3}, "A card.\n") as folder:
        artifacts.save_weights(folder / "weights.safetensors", {"x": np.arange(3000, dtype=np.float32)})
        (folder / "more").mkdir()
        (folder / "more" / "words.json").write_text('["red", "blue"]\n')
    plot = tmp_path / "plots" / "report"
    plot.mkdir(parents=True)
    (plot / "answers.csv").write_text("figure,value\naccuracy,91.5\n")
    record(tmp_path, "plots/report")
    monkeypatch.chdir(tmp_path)


def record(here, path):
    """What DVC keeps of a folder that a stage wrote."""
    out = dvc_outs.Out(here, "report", path, ".dir")
    listing = out.listing(out.present)
    name = hashlib.md5(listing).hexdigest() + ".dir"
    cache = dvc_outs.Cache.of(here)
    objects = {name: listing} | {md5: (here / file).read_bytes() for file, md5 in out.present.items()}
    for known, data in objects.items():
        cache.path(known).parent.mkdir(parents=True, exist_ok=True)
        cache.path(known).write_bytes(data)
    stage = {"cmd": "python stages/report.py", "outs": [{"path": path, "hash": "md5", "md5": name}]}
    with (here / "dvc.lock").open("w") as file:
        YAML().dump({"schema": "2.0", "stages": {"report": stage}}, file)


@pytest.mark.parametrize(
    ("row", "cases"),
    [
        (1, 1),
        (2, 4),
        (7, 3),
        (8, 22),
        (9, 12),
        (10, 4),
        (11, 1),
        (19, 1),
        (21, 16),
        (22, 40),
        (23, 24),
        (27, 2),
    ],
)
def test_some_cases_hold(tmp_path, row, cases):
    outcome = some(row, cases, tmp_path)
    assert (outcome.cases, outcome.failed) == (cases, 0), outcome.kept
    assert outcome.tried >= 1


def test_changed_artifacts_are_noticed(built, tmp_path):
    outcome = some(4, 64, tmp_path)
    assert (outcome.cases, outcome.failed) == (64, 0), outcome.kept
    artifacts.load(tmp_path / "models" / "clip", "clip", everything=True)  # the checkout itself is as it was
    assert verification.examine(tmp_path) == []


@pytest.fixture
def bundle_here(bundle, tmp_path, monkeypatch):
    """A folder with models/bundle, as after `dvc repro`."""
    shutil.copytree(bundle, tmp_path / "models" / "bundle")
    monkeypatch.chdir(tmp_path)


def test_hostile_bundles_are_refused_or_harmless(bundle_here, tmp_path):
    outcome = some(24, 10, tmp_path)
    assert (outcome.cases, outcome.failed) == (10, 0), outcome.kept


def test_what_clients_send_stays_with_them(bundle_here, tmp_path):
    outcome = some(26, 1, tmp_path)
    assert (outcome.cases, outcome.failed) == (1, 0), outcome.kept


def test_a_server_that_repeats_fields_is_caught(tmp_path, monkeypatch):
    """An answer with a private text in it, from a server that is not ours."""
    monkeypatch.setattr(private_texts, "REQUESTS", 3)
    (tmp_path / "log").touch()
    monkeypatch.setattr(command_server, "serving", lambda *words, **more: contextlib.nullcontext(0))
    monkeypatch.setattr(command_server, "call", lambda port, method, path, body, headers: (400, body or b""))
    case = battery.Case(0, 1, tmp_path, tmp_path)
    with pytest.raises(Broken, match="answer 0 holds a private text"):
        private_texts.case(case)


def test_a_command_that_lets_captions_steer_the_terminal_is_caught(bundle_here, tmp_path, monkeypatch):
    bundle = tmp_path / "models" / "bundle"
    entries = bundle / "index" / "entries.jsonl"
    text = entries.read_text()
    for start in ("a small", "a large", "a green"):
        text = text.replace(start, "\\u001bx")  # of the same length: the places of the entries stay
    entries.write_text(text)
    model_files.sign(bundle)
    assert model_files.use(bundle) == []
    monkeypatch.setattr(plain_text, "STEERING", re.compile("(?!)"))
    with pytest.raises(RuntimeError, match="steer a terminal"):
        model_files.use(bundle)


SERVER = [13, 14, 15, 16, 17]  # rows that need a bundle


@pytest.fixture(scope="module")
def served(tmp_path_factory, tiny_graphs):
    """A folder that holds models/bundle."""
    here = tmp_path_factory.mktemp("checkout")
    (here / "models").mkdir()
    serving.build_bundle(here / "models", tiny_graphs)
    return here


@pytest.mark.parametrize(("row", "cases"), [(13, 1), (14, 1), (15, 1), (16, 17), (25, 1)])
def test_some_cases_of_the_server_hold(served, tmp_path, monkeypatch, row, cases):
    monkeypatch.chdir(served)
    outcome = some(row, cases, tmp_path)
    assert (outcome.cases, outcome.failed) == (cases, 0), outcome.kept


@pytest.mark.full
@pytest.mark.parametrize("row", SERVER)
def test_the_short_battery_of_the_server_holds(served, tmp_path, monkeypatch, row):
    monkeypatch.chdir(served)
    outcome = some(row, PROMISES[row].gate, tmp_path)
    assert outcome.failed == 0, outcome.kept


@pytest.mark.parametrize("row", SERVER)
def test_without_a_bundle_the_server_is_not_tried(tmp_path, monkeypatch, row):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(battery.Missing, match="no models/bundle here: run `dvc repro` first"):
        battery.run(PROMISES[row], 1, SEED, tmp_path / "state", print)


def judged(row, address, index=0):
    """A case of a row against another server, which breaks the promise."""
    with pytest.raises(Broken) as broken:
        PROMISES[row].case(battery.Case(index, SEED, Path(), SimpleNamespace(address=address)))
    return str(broken.value)


def test_a_server_killed_under_load_is_caught(served, monkeypatch):
    monkeypatch.chdir(served)
    monkeypatch.setattr(signal, "SIGTERM", signal.SIGKILL)
    assert "ended with -9" in judged(15, "")


def test_answers_that_depend_on_others_are_caught():
    inside = 0
    app = FastAPI()

    @app.post("/{path:path}")
    async def answer() -> dict:
        nonlocal inside
        inside += 1
        await asyncio.sleep(0.01)
        crowded, inside = inside > 1, inside - 1
        return {"id": inside, "answer": crowded}

    with serving.running(app) as address:
        assert "answered otherwise" in judged(13, address)


def test_a_server_that_refuses_without_a_word_is_caught():
    app = FastAPI()

    @app.post("/{path:path}")
    async def answer() -> Response:
        await asyncio.sleep(0.002)
        return Response("{}", 200 if secrets.randbelow(2) else 429)

    with serving.running(app) as address:
        assert "-1: a broken connection" in judged(14, address)


def test_a_server_that_knows_no_key_is_caught(served, tmp_path, monkeypatch):
    monkeypatch.chdir(served)
    with serving.running(FastAPI()) as address:
        port = int(address.rpartition(":")[2])
        monkeypatch.setattr(command_server, "serving", lambda *words, **more: contextlib.nullcontext(port))
        with pytest.raises(Broken, match="GET /openapi.json with no key has 200"):
            access.case(battery.Case(0, SEED, tmp_path, Path()))


@pytest.mark.parametrize("form", ["slow headers", "many headers", "silent connections"])
def test_a_server_without_limits_is_caught(monkeypatch, form):
    monkeypatch.setattr(connection_abuse, "PATIENCE_S", 2.0)
    monkeypatch.setattr(connection_abuse, "TAKEN", 8 << 20)
    with serving.running(FastAPI()) as address, pytest.raises(Broken):
        connection_abuse.FORMS[form](address, np.random.default_rng(SEED))


@pytest.mark.full  # those of a whole pipeline want a built one: tests/pipeline
@pytest.mark.parametrize("row", sorted(PROMISES.keys() - {5, 6, *SERVER}))
def test_the_short_battery_holds(built, bundle_here, tmp_path, row):
    outcome = some(row, PROMISES[row].gate, tmp_path)
    assert outcome.failed == 0, outcome.kept


SABOTAGES = {  # row -> what keeps its promise, and what takes its place
    7: (build_items, "MAX_TEXT", 10**9),
    4: (dvc_outs.Cache, "is_damaged", lambda cache, name: False),
    8: (ImageWorkers, "decode", lambda *words, decode=ImageWorkers.decode: decode(*words)[::-1]),
    23: (archives, "_check_overlap", lambda path, infos: None),
    19: (user_index, "_stamp", lambda folder: (0, 0)),
}


@pytest.mark.parametrize(("row", "cases"), [(4, 24), (7, 4), (8, 4), (19, 1), (23, 24)])
def test_a_sabotaged_product_is_caught(built, tmp_path, monkeypatch, row, cases):
    monkeypatch.setattr(*SABOTAGES[row])
    assert some(row, cases, tmp_path).failed > 0


def test_a_page_that_escapes_nothing_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "select_autoescape", lambda endings: False)
    templates.environment.cache_clear()
    try:
        assert some(27, 2, tmp_path).failed == 2
    finally:
        templates.environment.cache_clear()


def test_a_connection_that_leaves_the_machine_is_seen(tmp_path):
    """UDP: nothing is sent by connecting, and the kernel's call is the same."""
    if not shutil.which("strace"):
        pytest.skip("it needs the program strace")
    code = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(({!r}, 9))"
    calls = [
        connections.traced([sys.executable, "-c", code.format(address)], tmp_path, tmp_path / address)
        for address in ("192.0.2.1", "127.0.0.1")
    ]
    if calls[0] is None:
        pytest.skip("strace traces nothing here")
    assert len(calls[0]) == 1 and "192.0.2.1" in calls[0][0] and calls[1] == []


def test_every_sabotage_has_its_place_and_its_tests():
    rows = sabotage.read(ROOT)
    assert len(rows) == len({row["what"] for row in rows}) >= 60
    for row in rows:
        assert all((ROOT / "tests" / name).exists() for name in row["test"].split()), row["what"]


def coin(case):
    """Fails in every case whose first random number is below a tenth."""
    if case.rng.random() < 0.1:
        raise Broken(f"case {case.index}")
    assert not list(case.scratch.iterdir()) and case.prepared == "shared"
    return 2


COIN = Promise(
    99, "A coin", "It never shows a small number.", "throws", 10, 100, coin, lambda scratch: "shared"
)


def test_a_run_goes_on_and_a_case_can_be_replayed(tmp_path):
    first = battery.run(COIN, 30, SEED, tmp_path / "a", print)
    resumed = battery.run(COIN, 100, SEED, tmp_path / "a", print)
    whole = battery.run(COIN, 100, SEED, tmp_path / "b", print)
    assert (first.cases, resumed.cases) == (30, 100)
    assert (resumed.failed, resumed.kept, resumed.tried) == (whole.failed, whole.kept, whole.tried)
    assert 0 < whole.failed == len(whole.kept) and whole.tried == 200 - whole.failed
    broken = whole.kept[0]["case"]
    with pytest.raises(Broken, match=f"case {broken}"):
        battery.replay(COIN, SEED, broken)
    good = next(index for index in range(100) if index not in {it["case"] for it in whole.kept})
    battery.replay(COIN, SEED, good)


def test_another_seed_starts_anew(tmp_path):
    battery.run(COIN, 50, SEED, tmp_path, print)
    other = battery.run(COIN, 20, SEED + 1, tmp_path, print)
    assert other.cases == 20


def test_what_the_product_does_not_document_breaks_a_promise(tmp_path):
    def case(case):
        raise KeyError("inner")

    surprised = Promise(98, "Surprise", "Nothing unknown is raised.", "cases", 1, 1, case)
    outcome = battery.run(surprised, 2, SEED, tmp_path, print)
    assert outcome.failed == 2 and outcome.kept[0]["why"] == "KeyError: 'inner'"


@pytest.mark.parametrize(
    ("tried", "failed", "bound"),
    [(1000, 0, 100 * (1 - 0.05 ** (1 / 1000))), (1, 0, 95.0), (10, 10, 100.0), (100, 1, 4.656)],
)
def test_the_bound_by_hand(tried, failed, bound):
    """Without a failure 1 - 0.05^(1/n); one failure in a hundred: 4.66 % (tables of Clopper and Pearson)."""
    assert Outcome(tried, tried, failed).bound() == pytest.approx(bound, rel=1e-3)


def test_the_page_tells_what_was_tried_and_what_failed():
    held = reliability_page.record(COIN, Outcome(100, 1000, 0, [], 3.0), SEED)
    everything = reliability_page.record(PROMISES[2], Outcome(107, 107, 0, [], 90.0, all=True), SEED)
    page = reliability_page.page({"rows": [held, everything]})
    assert "| 99 | **A coin.** It never shows a small number. | 1,000 throws | 0 | 0.3 % |" in page
    assert "107 deaths | 0 | all there are |" in page and "No case failed." in page
    untried = [line for line in page.splitlines() if line.endswith("| not tried | | |")]
    assert len(untried) == len(PROMISES) - 1 and untried[0].startswith("| 1 | **Kills of a training.**")
    failing = reliability_page.record(COIN, Outcome(100, 100, 1, [{"case": 5, "why": "a 1"}], 3.0), SEED)
    page = reliability_page.page({"rows": [failing]})
    assert "| 1 | 4.7 % |" in page and "- row 99, case 5: a 1" in page


def test_a_row_that_cannot_be_tried_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(battery.Missing, match="run `dvc repro` first"):
        battery.run(PROMISES[4], 1, SEED, tmp_path / "state", print)
