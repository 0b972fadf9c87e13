"""The command line's surface: which commands there are, in which panels, and how a shell completes them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from sightline.cli import app as application
from sightline.cli import main

ROOT = Path(__file__).resolve().parents[2]
PANELS = {
    application.USE: {"ask", "search", "explain", "serve"},
    application.TRUST: {"audit", "failures", "monitor", "profile", "red-team"},
    application.DATA: {"index", "dataset-report", "out-of-domain"},
    application.SHARE: {"convert-model", "push-to-hub", "save-pretrained", "register", "promote"},
    application.BUILD: {"demo", "estimate", "init", "params", "tune", "doctor", "track"},
}


def sightline(*words, **env):
    code = "from sightline.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"} | env,
        capture_output=True,
        text=True,
    )


def test_commands_stand_in_their_panels():
    commands = {name: each for name, each in get_command(main.app).commands.items() if not each.hidden}
    shown = {panel: set() for panel in PANELS}
    for name, command in commands.items():
        if name != main.LAB:
            shown[command.rich_help_panel].add(name)
    assert shown == PANELS
    assert sum(map(len, shown.values())) + 1 <= 25  # and the group of experiments


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_panels_and_commands(flag):
    done = sightline(flag)
    assert done.returncode == 0
    for panel, commands in {**PANELS, application.EXPERIMENTS: {main.LAB}}.items():
        assert panel in done.stdout
        for command in commands:
            assert re.search(rf"^│ {command}\s", done.stdout, re.M), command


def test_every_command_answers_h_and_explains_itself():
    commands = get_command(main.app).commands
    for name in set.union(*PANELS.values()):
        assert commands[name].help and commands[name].get_short_help_str(200)[0].isupper()
    done = sightline("ask", "-h")
    assert done.returncode == 0 and "--fetch" in done.stdout and "--candidates" in done.stdout


def test_the_version_is_the_installed_one():
    done = sightline("--version")
    assert done.returncode == 0 and re.fullmatch(r"sightline \d+\.\d+\.\d+\S*\n", done.stdout)


def test_a_shell_completes_commands():
    words = {"_SIGHTLINE_COMPLETE": "complete_bash", "COMP_WORDS": "sightline se", "COMP_CWORD": "1"}
    assert set(sightline(**words).stdout.split()) == {"search", "serve"}
    options = sightline("--help").stdout
    assert "--install-completion" in options and "--show-completion" in options


def test_without_the_experiments_the_group_says_how_to_get_them(monkeypatch, capsys):
    registered = list(main.app.registered_commands)
    monkeypatch.setattr(main.app, "registered_commands", registered)
    monkeypatch.setattr(main, "entry_points", lambda **_: [])
    monkeypatch.setattr(sys, "argv", ["sightline", "lab", "bench", "--rounds", "3"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert "the experiments are not installed here: run `make setup`" in capsys.readouterr().err
