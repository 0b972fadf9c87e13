"""The parts of `sightline tune`: ranges, curves that are being written, trials that a kill has cut off."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from itertools import pairwise

import psutil
import pytest

from sightline.cli.tuning import experiment_queue, search_space, val_figures
from sightline.cli.tuning.search_space import Choice, Range, Space
from sightline.core.params.checks import ParamsError
from tests.support import tuned
from tests.support.command_line import ROOT

PARAMS = ROOT / "params.yaml"
SPACE = Space(
    {
        "lr": Range(1e-4, 1e-2, None, True),
        "finetune.layers": Range(2, 6, 2, False),
        "align.loss": Choice(("a", "b")),
    },
    {"launch": "python"},
)
DEFINITION = {"commit": "c0ffee"}


@pytest.fixture
def store():
    """The module that keeps trials, which needs Optuna."""
    pytest.importorskip("optuna", reason="Optuna is not installed (the extra `tune`): no search was run")
    from sightline.cli.tuning import trials

    return trials


def test_what_is_typed_is_what_is_tried():
    typed = [
        "lr=log:1e-4..3e-3",
        "finetune.layers=1..5:2",
        "finetune.label_smoothing=0..0.2",
        "launch=python",
    ]
    space = search_space.parse(
        [*typed, "finetune.horizontal_flip=true,false", "spin.layers=[0],[0,1]"], PARAMS
    )
    assert space.fixed == {"launch": "python"}
    assert space.searched == {
        "lr": Range(1e-4, 3e-3, None, True),
        "finetune.layers": Range(1, 5, 2, False),
        "finetune.label_smoothing": Range(0.0, 0.2, None, False),
        "finetune.horizontal_flip": Choice(("true", "false")),
        "spin.layers": Choice(("[0]", "[0,1]")),
    }
    point = {"lr": 1e-05, "spin.layers": "[0,1]"}
    assert space.settings(point) == ["launch=python", "lr=1e-05", "spin.layers=[0,1]"]
    params = space.check(point, PARAMS)
    assert (params.lr, params.spin.layers, params.launch) == (1e-05, (0, 1), "python")


@pytest.mark.parametrize("document", ["README.md", "docs/guide/experiments.md"])
def test_searches_of_the_documents_can_be_typed(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    (line,) = re.findall(r"^sightline tune .*", text, flags=re.M)
    words = shlex.split(line, comments=True)
    typed = [after for word, after in pairwise(words) if word == "-S"]
    assert search_space.parse(typed, PARAMS).searched["lr"] == Range(3e-4, 3e-3, None, True)


def test_values_that_do_not_fit_each_other_are_told_apart_from_those_that_do():
    """Of values that are searched together, each has to fit some of the others."""
    space = search_space.parse(["finetune.width=100..320:20", "finetune.heads=4,8"], PARAMS)
    assert space.check({"finetune.width": 320, "finetune.heads": "8"}, PARAMS).finetune.width == 320
    with pytest.raises(
        ParamsError, match="finetune.width: got 100, allowed: a multiple of finetune.heads = 8"
    ):
        space.check({"finetune.width": 100, "finetune.heads": "8"}, PARAMS)
    with pytest.raises(ParamsError, match="finetune.width: got 100"):
        search_space.parse(["finetune.width=100..320:20"], PARAMS)


def test_a_curve_is_read_while_it_is_written(tmp_path):
    figure = val_figures.parse("finetune.val_accuracy")
    assert figure.stage == "finetune" and val_figures.running(figure, tmp_path) == []
    file = tmp_path / figure.curve
    file.parent.mkdir(parents=True)
    for text, values in (("", []), ("step\tval_ac", []), ("step\tval_accuracy\n8\t1.5\n16\t2.", [1.5])):
        file.write_text(text)
        assert val_figures.running(figure, tmp_path) == values


def test_a_search_taken_up_again_draws_what_one_without_a_break_draws(store, tmp_path):
    drawn = []
    for breaks in (False, True):
        here = tmp_path / str(breaks)
        here.mkdir()
        for wanted in (5, 9) if breaks else (9,):
            with store.opened(here, "t", SPACE, 7, DEFINITION) as trials:
                while len(trials.all()) < wanted:
                    trial = trials.ask()
                    trials.tell(trial, store.State.COMPLETE, -abs(trial.params["lr"] - 1e-3))
                values = [trial.params for trial in trials.all()]
        drawn.append(values)
    assert drawn[0] == drawn[1] and len({each["lr"] for each in drawn[0]}) == 9
    assert all(1e-4 <= each["lr"] <= 1e-2 and each["finetune.layers"] in (2, 4, 6) for each in drawn[0])


def test_a_trial_that_was_cut_off_while_it_was_asked_for_gets_its_values(store, tmp_path):
    code = f"""
import os
from pathlib import Path
import optuna
from sightline.cli.tuning import trials
from tests.cli.test_tuning import SPACE, DEFINITION
optuna.trial.Trial.suggest_int = lambda *words, **more: os._exit(9)
with trials.opened(Path({str(tmp_path)!r}), "t", SPACE, 7, DEFINITION) as opened:
    opened.ask()
"""
    done = subprocess.run([sys.executable, "-c", code], env=tuned.environment(), cwd=ROOT)
    assert done.returncode == 9
    with store.opened(tmp_path, "t", SPACE, 7, DEFINITION) as trials:
        (cut,) = trials.open()
        assert list(cut.params) == ["lr"]
        whole = trials.completed(cut)
        assert list(whole.params) == list(SPACE.searched) and whole.params["lr"] == cut.params["lr"]
        assert [trial.number for trial in trials.open()] == [0]


def test_one_process_at_a_time_and_one_definition(store, tmp_path):
    with store.opened(tmp_path, "t", SPACE, 7, DEFINITION):
        with pytest.raises(store.TuneError, match="another `sightline tune` is at work on 't'"):
            with store.opened(tmp_path, "t", SPACE, 7, DEFINITION):
                pass
    with pytest.raises(store.TuneError, match="begun with another commit: c0ffee, now decaf"):
        with store.opened(tmp_path, "t", SPACE, 7, {"commit": "decaf"}):
            pass
    assert (tmp_path / store.FOLDER / ".gitignore").read_text() == "*\n"


def machine_goes_down(here):
    """No process of the queue is left; DVC calls the experiment running."""
    begin(here)
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if str(here) in " ".join([*(process.info["cmdline"] or []), process.info["cwd"] or ""]):
            process.kill()


def queue_is_stopped(here):
    begin(here)
    tuned.run(here, "dvc", "queue", "stop", "--kill")


def ending_worker_takes_it(here):
    """What DVC's race leaves: a message that was received by a worker which was told to end."""
    broker = here / ".dvc" / "tmp" / "exps" / "celery" / "broker"
    (message,) = (broker / "in").glob("*.celery.msg")
    message.rename(broker / "processed" / message.name)


def begin(here):
    experiment_queue.start(here, 1)
    deadline = time.monotonic() + 240
    while not tuned.begun(here) and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.full
@pytest.mark.parametrize(
    "cut_off, begun",
    [(machine_goes_down, "00"), (queue_is_stopped, "00"), (ending_worker_takes_it, "0")],
)
def test_an_experiment_that_was_cut_off_is_run_again(store, tmp_path, monkeypatch, cut_off, begun):
    from sightline.cli.tuning import tuning_loop

    for name, value in tuned.environment().items():
        monkeypatch.setenv(name, value)
    for module in (tuning_loop, experiment_queue):
        monkeypatch.setattr(module, "LOST_S", 3.0)
    here = tuned.make(tmp_path / "searched")
    space = search_space.parse(["lr=log:1e-4..1e-2"], here / "params.yaml")
    commit, figure = experiment_queue.head(here), val_figures.parse("finetune.val_accuracy")
    with store.opened(here, "tune", space, 7, DEFINITION) as trials:
        trial = trials.ask()
        experiment_queue.enqueue(here, "tune-0", space.settings(trial.params), "finetune")
        (here / ".meet").touch()  # the training waits
        cut_off(here)
        (here / ".meet").unlink()
        said = []
        tuning_loop.Tuning(here, commit, space, figure, trials, 1, True, said.append).run(1)
        assert [each.value for each in trials.all()] == [80.0] and "tune-0 was cut off: queued again" in said
    assert tuned.begun(here) == begun


@pytest.mark.full
def test_a_dvc_that_never_answers_is_asked_again(tmp_path, monkeypatch):
    here = tuned.make(tmp_path / "searched")
    slow = tmp_path / "bin" / "dvc"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nmkdir {tmp_path}/asked && exec sleep 600\nexec {shutil.which("dvc")} "$@"\n')
    slow.chmod(0o755)
    for name, value in tuned.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(experiment_queue, "ANSWER_S", 30.0)
    assert experiment_queue.experiments(here) == {} and (tmp_path / "asked").exists()
