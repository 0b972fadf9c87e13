"""Progress as people see it: bars on a terminal, lines elsewhere, nothing from ranks and helpers."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sightline.core import progress

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys, time
from sightline.core import progress, runtime
progress.LINE_S = 0.2
runtime._state.stage = sys.argv[1]
for each in progress.track(range(4), "pictures"):
    time.sleep(0.15)
"""


def run(stage="", **env):
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")} | env
    return subprocess.run([sys.executable, "-c", CODE, stage], env=env, capture_output=True, text=True)


def test_a_line_has_count_note_and_times(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = progress.Step("vlm: step", 300, 100)
    assert shown.line() == "vlm: step 100/300, 0:00 so far"
    shown.advance(50, "loss 0.5")
    now[0] += 75
    assert shown.line() == "vlm: step 150/300, loss 0.5, 1:15 so far, about 3:45 left"
    now[0] += 3600
    assert progress.Step("checking", None).line() == "checking, 0:00 so far"
    assert "1:01:15 so far" in shown.line()


def test_items_pass_unchanged_and_short_steps_are_silent(capfd):
    assert list(progress.track(iter("abc"), "letters")) == ["a", "b", "c"]
    assert capfd.readouterr() == ("", "")


def test_a_command_writes_lines_to_stderr_where_stdout_is_no_terminal():
    done = run()
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and done.stdout == ""
    assert 1 <= len(lines) <= 3 and all(line.startswith("sightline: pictures ") for line in lines)
    assert "/4" in lines[0] and "so far" in lines[0]


def test_a_stage_writes_them_to_stdout_under_its_name():
    done = run("index")
    assert done.stderr == "" and done.stdout.startswith("index: pictures ")


def test_a_step_that_is_stuck_in_one_piece_still_shows_that_it_lives(monkeypatch, capfd):
    monkeypatch.setattr(progress, "LINE_S", 0.05)
    with progress.step("waiting"):
        time.sleep(0.3)
    assert capfd.readouterr().err.count("sightline: waiting, 0:00 so far\n") >= 2


def test_other_ranks_show_nothing():
    done = run("align", RANK="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_failing_step_ends_its_lines(monkeypatch, capfd):
    monkeypatch.setattr(progress, "LINE_S", 0.05)
    with pytest.raises(ValueError), progress.step("failing"):
        raise ValueError
    time.sleep(0.2)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_that_goes_away():
    ours, theirs = pty.openpty()
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", "COLUMNS": "100"}
    child = subprocess.Popen([sys.executable, "-c", CODE, ""], env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert child.wait() == 0
    text = written.decode()
    assert "pictures" in text and "━" in text and "/4" in text
    assert "so far" not in text and text.endswith("\x1b[2K\x1b[?25h\r")
