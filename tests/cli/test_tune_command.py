"""`sightline tune` as a user types it, with the real DVC and the real Optuna, in a repository whose stages
only write curves."""

import json
import subprocess
import time

import pytest

from sightline.core.params import edit
from tests.support import command_line, tuned

FAILED = "ERROR: failed to reproduce 'finetune': failed to run: python stage.py finetune, exited with 1"
LR = ("-S", "lr=log:1e-4..1e-2")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A repository in which no search begins."""
    return tuned.make(tmp_path_factory.mktemp("untouched") / "searched")


@pytest.fixture
def repository(tmp_path):
    here = tuned.make(tmp_path / "searched")
    yield here
    subprocess.run(["dvc", "queue", "stop", "--kill"], cwd=here, env=tuned.environment(), capture_output=True)


@pytest.fixture
def optuna():
    why = "Optuna is not installed (the extra `tune`): no search was run"
    return pytest.importorskip("optuna", reason=why)


def tune(here, *words, code=0):
    """The command's output and errors."""
    done = subprocess.run(
        command_line.command("tune", *words),
        cwd=here,
        env=tuned.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout, done.stderr


def states(here):
    """How often DVC has an experiment of a name in a state."""
    rows = json.loads(tuned.run(here, "dvc", "exp", "show", "--json"))
    shown = [each for row in rows for each in row["experiments"] or []]
    return sorted((each["name"], (each["executor"] or {}).get("state", "success")) for each in shown)


def rows(here, name="tune"):
    lines = (here / "plots" / "tune" / f"{name}.md").read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| tune-")
    ]


def test_a_search_that_was_killed_goes_on_prunes_and_names_the_best(repository, optuna):
    """Five trials: 80, 90 and 70 in the end; one that falls behind; one whose training fails."""
    words = [*LR, "-S", "finetune.label_smoothing=0,0.1", "--trials", "5"]
    first = subprocess.Popen(
        command_line.command("tune", *words),
        cwd=repository,
        env=tuned.environment(),
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while "1" not in tuned.begun(repository) and time.monotonic() < deadline:
        time.sleep(0.1)
    first.kill()
    first.wait()
    assert tuned.begun(repository) == "01"
    out, _ = tune(repository, *words)
    assert "of 5 trials were begun earlier" in out
    assert tuned.begun(repository) == "01234"  # none twice, none left out
    ended = [
        ("tune-0", "success"),
        ("tune-1", "success"),
        ("tune-2", "success"),
        ("tune-3", "failed"),
        ("tune-4", "failed"),
    ]
    assert states(repository) == ended
    assert [(row[0], *row[3:]) for row in rows(repository)] == [
        ("tune-1", "90.00", "finished"),
        ("tune-0", "80.00", "finished"),
        ("tune-2", "70.00", "finished"),
        ("tune-3", "2.50 at evaluation 1", "pruned"),
        (
            "tune-4",
            "",
            f"failed: {FAILED}",
        ),
    ]
    assert (repository / "plots" / "tune" / "tune.png").read_bytes().startswith(b"\x89PNG")
    assert "the best: finetune.val_accuracy 90.00 of tune-1" in out
    assert out.endswith("try: dvc exp apply tune-1, then dvc repro\n")
    assert tuned.run(repository, "git", "status", "--porcelain") == ""

    again, _ = tune(repository, *words)
    assert tuned.begun(repository) == "01234" and "of tune-1" in again
    tuned.run(repository, "dvc", "exp", "apply", "tune-1")
    assert "lr: 0.001  " not in (repository / "params.yaml").read_text()


def test_two_jobs_train_at_the_same_time(repository, optuna):
    (repository / ".meet").touch()  # each training waits until another has begun
    out, _ = tune(repository, *LR, "--trials", "2", "--jobs", "2", "--name", "pair")
    assert "2 trials: 2 finished" in out and "of pair-1" in out
    assert states(repository) == [("pair-0", "success"), ("pair-1", "success")]


def test_a_search_goes_by_a_figure_of_an_earlier_stage_and_ends_there(repository, optuna):
    words = ("-S", "seed=1..9", "--objective", "align.val_recall_at_1", "--trials", "1")
    out, _ = tune(repository, *words)
    assert "align.val_recall_at_1 80.00 of tune-0" in out and tuned.begun(repository) == ""
    _, err = tune(repository, *words[:2], "--objective", "align.val_text_to_image", "--trials", "1", code=2)
    assert "begun with another --objective: align.val_recall_at_1, now align.val_text_to_image" in err
    _, err = tune(
        repository,
        *words[:2],
        "--objective",
        "align.val_text_to_image",
        "--trials",
        "1",
        "--name",
        "b",
        code=2,
    )
    assert "align wrote no curve val_text_to_image, but align.val_recall_at_1" in err


@pytest.mark.parametrize(
    "words, said",
    [
        (["-S", "lrr=1e-4..1e-3"], "lrr: got an unknown name, allowed: the leaves of params.yaml; did you"),
        (["-S", "lr=-1..1"], "lr: got -1.0, allowed: a finite number > 0"),
        (["-S", "lr=1e-3..1e-4"], "whose first end is the lower one"),
        (["-S", "finetune.layers=1.5..2"], "layers: got 1.5..2, allowed: an integer >= 1, at both ends"),
        (["-S", "align.loss=info_nce,sigmoid"], "got 'sigmoid', allowed: info_nce, siglip"),
        (["-S", "align.batch_size=8..32:8"], "got 32, allowed: at most align.batch_size = 8"),
        (["-S", "lr=1e-4"], "got nothing to search"),
        (["-S", "lr"], "lr: got no values, allowed: lr=VALUE, a choice VALUE,VALUE or a range LOW..HIGH"),
        ([*LR, "-S", "lr=1,2"], "lr: got the name twice"),
        ([*LR, "--objective", "test.vqa_accuracy"], "what was chosen by test is no longer measured by test"),
        ([*LR, "--objective", "evaluate.accuracy"], "allowed: a figure of val: finetune.val_accuracy"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_before_anything_runs(untouched, words, said):
    _, err = tune(untouched, *words, "--trials", "1", code=2)
    assert said in err and err.startswith("sightline: ") and err.count("\n") == 1
    assert not (untouched / ".tune").exists() and not (untouched / ".dvc" / "tmp" / "exps").exists()


def test_experiments_start_from_a_commit(repository, tmp_path):
    edit.fill(repository / "params.yaml", {"seed": 8})
    _, err = tune(repository, *LR, code=2)
    assert "1 changed files, first params.yaml: experiments start from a commit" in err
    (tmp_path / "no_git").mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / "no_git" / name).write_bytes((repository / name).read_bytes())
    _, err = tune(tmp_path / "no_git", *LR, code=2)
    assert "experiments start from a commit: git init" in err


def test_without_optuna_the_command_says_what_to_install(untouched):
    hidden = command_line.python("sys.modules['optuna'] = None\n" + command_line.MAIN)
    done = subprocess.run(
        [*hidden, "tune", *LR], cwd=untouched, env=tuned.environment(), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "a search needs Optuna, which is not installed: pip install 'optuna>=5,<6'" in done.stderr
