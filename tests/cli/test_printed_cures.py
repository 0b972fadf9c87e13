"""Cures that messages print: every command in them exists, and each cure below is run as it is printed, on
the fault that it is printed for. Those of `sightline doctor` are in `test_doctor_cures.py`."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from sightline.cli import main
from sightline.cli.new_repository import own_repository
from sightline.cli.tuning import experiment_queue
from sightline.core import launch
from sightline.core.params import edit, resolved
from sightline.core.params.loader import ParamsError, load_params
from sightline.core.source_digest import PACKAGE
from sightline.data import batches
from sightline.data.questions.lexicons import corpus, photos
from sightline.serve import metrics_reader, server
from sightline.serve.deploy import environments
from sightline.serve.safety import policy
from sightline.train import schedule
from tests.support import params_files

ROOT = Path(__file__).resolve().parents[2]
SPAN = re.compile(r"`([^`]+)`")
BARE = re.compile(r"(?:try: |cure: |run: |run )((?:sightline|dvc repro|make) .+)")
PIN = re.compile(r"pip install '?([A-Za-z0-9_-]+==[0-9.]+[0-9])")
FILE = re.compile(r"pip install -r (\S+\.txt)")


@cache
def texts() -> list[tuple[str, str]]:
    """(file, text) of every string of the package that is no docstring; `{}` for what is filled in."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                skipped |= {id(part) for part in ast.walk(node)} - {id(node)}
        for node in ast.walk(tree):
            if id(node) in skipped:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
                found.append((path.name, "".join(map(str, parts))))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append((path.name, node.value))
    return found


def printed(program: str) -> Iterator[tuple[str, list[str]]]:
    """(file, words after the program) of every command in a message: in backticks, or after `try: `."""
    for file, text in texts():
        for command in [*SPAN.findall(text), *(match.rstrip("`.") for match in BARE.findall(text))]:
            command = re.split(r"[|;,(`]|  | to the | in a | in the | for a | where ", command)[0]
            if command.startswith(f"{program} "):
                yield file, command.removeprefix(program).replace('"', "").split()


def test_printed_commands_exist_with_their_options():
    from sightline_lab.cli.main import app as lab

    commands = {name: each.params for name, each in get_command(main.app).commands.items()}
    commands |= {f"lab {name}": each.params for name, each in get_command(lab).commands.items()}
    groups = {name for name, each in get_command(main.app).commands.items() if hasattr(each, "commands")}
    count = 0
    for file, words in printed("sightline"):
        if words[0] in groups:
            assert words[1] in get_command(main.app).commands[words[0]].commands, (file, words)
            continue
        name = " ".join(words[: 2 if words[0] == "lab" else 1])
        assert name in commands, (file, words)
        options = {option for one in commands[name] for option in one.opts}
        for word in words:
            assert not re.match(r"--?[a-z]", word) or word in options, (file, words)
        count += 1
    assert count >= 40


def test_printed_stages_targets_and_pins_exist():
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    asked = [(file, word) for file, words in printed("dvc repro") for word in words if word != "{}"]
    assert asked and not [one for one in asked if one[1] not in stages]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    asked = [(file, words[0]) for file, words in printed("make")]
    assert asked and not [one for one in asked if one[1] not in targets]
    lock = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [(file, pin) for file, text in texts() for pin in PIN.findall(text)]
    assert pins and not [one for one in pins if one[1] not in lock]
    files = [(file, name) for file, text in texts() for name in FILE.findall(text)]
    assert files and not [one for one in files if not (ROOT / one[1]).is_file()]


def shell(here: Path, command: str) -> str:
    """What a command prints; it must work. git knows nobody, and nothing of the user's."""
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(here), "GIT_CONFIG_NOSYSTEM": "1",
    }  # fmt: skip
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        env.pop(name, None)
    done = subprocess.run(["bash", "-ec", command], cwd=here, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """git as of somebody who has never used it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def said(call, *given, kind=ValueError) -> str:
    with pytest.raises(kind) as raised:
        call(*given)
    return str(raised.value)


def test_a_key_is_made_by_the_command(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# none yet\n")
    command = re.search(r"make one: (python -c '[^']+')", said(server.read_keys, keys))[1]
    keys.write_text(shell(tmp_path, command))
    assert len(server.read_keys(keys)) == 1


def test_a_server_for_others_starts_with_keys(tmp_path):
    mine, keys = tmp_path / "mine.yaml", tmp_path / "keys"
    mine.write_text("extends: dev\nhost: 0.0.0.0\n")
    message = said(server.check, environments.load(str(mine)), [])
    variable, host = re.search(r"(SIGHTLINE\w+)=FILE.* or use (\S+)$", message).groups()
    keys.write_text("k" * server.MIN_KEY)
    settings = environments.load(str(mine), given=environments.variables({variable: str(keys)}))
    server.check(settings, server.read_keys(Path(settings.keys)))
    mine.write_text(f"extends: dev\nhost: {host}\n")
    server.check(environments.load(str(mine)), [])
    assert (settings.host, host) == ("0.0.0.0", "127.0.0.1")


def test_settings_of_a_server_begin_as_the_message_says(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("port: 8001\n")
    line = SPAN.findall(said(environments.load, str(mine), kind=ParamsError))[-1]
    mine.write_text(f"{line}\nport: 8001\n")
    assert environments.load(str(mine)).port == 8001


def test_a_policy_begins_as_the_message_says(tmp_path):
    mine = shutil.copytree(ROOT / "deploy/safety", tmp_path / "safety") / "mine.yaml"
    mine.write_text("answers: {unsure: refuse}\n")
    line = SPAN.findall(said(policy.load, str(mine), kind=ParamsError))[-1]
    mine.write_text(f"{line}\nanswers: {{unsure: refuse}}\n")
    assert policy.load(str(mine))[0].answers.unsure == "refuse"


def test_metrics_are_turned_on_by_the_variable(tmp_path):
    name, value = re.search(r"(SIGHTLINE\w+)=(\w+)", metrics_reader._refusal(404)).groups()
    (tmp_path / "mine.yaml").write_text("extends: dev\nmetrics: false\n")
    load = partial(environments.load, str(tmp_path / "mine.yaml"))
    assert load(given=environments.variables({name: value})).metrics and not load().metrics


def test_experiments_have_a_commit_to_start_from(alone):
    (alone / "params.yaml").write_text("seed: 7\n")
    message = said(experiment_queue.head, alone)
    commands = message.split("experiments start from a commit: ")[1].split(", ")
    shell(alone, "git config --global user.name t; git config --global user.email t@example.org")
    shell(alone, "; ".join(command.split(" (")[0].split(": ")[0] for command in commands))
    assert len(experiment_queue.head(alone)) == 40
    (alone / "params.yaml").write_text("seed: 8\n")
    assert "git stash" in said(experiment_queue.head, alone)
    shell(alone, "git stash")
    experiment_queue.head(alone)


def test_the_first_commit_of_a_repository_of_ones_own(alone):
    shell(alone, "git init -q .")
    (alone / "params.yaml").write_text("seed: 7\n")
    message = own_repository._first_commit(alone)
    first, *names, last = re.search(
        r"set (\S+) and (\S+) by (git config), then (git commit .+)", message
    ).groups()
    assert last and names
    keys, config = [first, names[0]], names[1]
    shell(alone, "; ".join(f"{config} {key} me@example.org" for key in keys))
    shell(alone, last)
    assert shell(alone, "git log --format=%s").strip() == "Start"


def test_a_launcher_that_is_not_there(tmp_path):
    message = said(launch.replace_process, ["no-such-launcher", "stage.py"], [64])
    value = SPAN.findall(message)[0].removeprefix("launch: ")
    assert launch.command([value], "stage.py", [63])[0] == sys.executable
    params_files.write(tmp_path, leaves={"launch": value})


@pytest.mark.parametrize("fault", [
    lambda: batches.rank_slice([0] * 5, 0, 2), lambda: schedule.batch_size(4, 1, 2),
], ids=["unequal", "too few"])  # fmt: skip
def test_one_process_takes_any_batch(tmp_path, fault):
    value = SPAN.findall(said(fault))[0].removeprefix("launch: ")
    assert launch.processes(value, [5]) == 1
    assert len(batches.rank_slice([0] * 5, 0, 1)) == 5 and schedule.batch_size(4, 1, 1) == 1
    params_files.write(tmp_path, leaves={"launch": value})


def test_a_resolved_yaml_of_other_values_is_written_anew(tmp_path):
    params_files.write(tmp_path)
    edit.fill(tmp_path / "params.yaml", {"seed": 8})
    params = load_params(tmp_path / "params.yaml")
    message = said(resolved.check, params, tmp_path, kind=ParamsError)
    stage = shlex.split(message.split("run: ")[1])[-1]
    command = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][stage]["cmd"]
    assert command == f"python stages/{stage}.py"
    subprocess.run(
        [sys.executable, ROOT / f"stages/{stage}.py"], cwd=tmp_path, check=True, capture_output=True
    )
    resolved.check(params, tmp_path)


def test_things_that_no_list_has_are_taken_from_the_captions():
    from sightline.core import registry

    captions = ["a glockenspiel beside a metronome"] * 40
    read = photos.build("en")
    read.count({"id": "1", "captions": captions, "split": "train"})
    read.finish()
    (message,) = read.left_out()
    name = re.search(r"convert\.lexicon=(\w+)", message)[1]
    other = registry.load("data/questions/lexicons", name).build("en")
    assert isinstance(other, corpus.Corpus)
    for number in range(40):
        other.count({"id": str(number), "captions": captions[:3], "split": "train"})
    other.finish()
    assert "metronome" in other.objects() and message not in other.left_out()
