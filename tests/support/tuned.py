"""A repository that `sightline tune` searches in within seconds: git, DVC, the parameters of the project, and
two stages that only write the curves of a training."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sightline.core.params import edit
from tests.support import command_line
from tests.support.command_line import ROOT

DAG = """\
stages:
  align:
    cmd: python stage.py align
    deps: [stage.py]
    params: [seed]
    outs: [plots/align]
  finetune:
    cmd: python stage.py finetune
    deps: [stage.py, plots/align]
    params: [lr, finetune.label_smoothing]
    outs: [plots/finetune]
"""
# What becomes of a trial is told by its number, whatever its values are: its last figure, or a failure. The
# weak one waits, after its first evaluation, for much longer than a test does.
STAGE = """\
import os, sys, time
from pathlib import Path

FIGURES = {"0": 80.0, "1": 90.0, "2": 70.0, "3": 10.0}
number = os.environ["DVC_EXP_NAME"].rpartition("-")[2]
root = Path(os.environ["DVC_ROOT"])
stage = sys.argv[1]
out, name = {
    "align": (Path("plots/align"), "val_recall_at_1"),
    "finetune": (Path("plots/finetune/vlm"), "val_accuracy"),
}[stage]
(out / "plots" / "metrics").mkdir(parents=True)
curve = f"step\\t{name}\\n"
if stage == "finetune":
    with (root / ".begun").open("a") as file:
        file.write(number)
    if number not in FIGURES:
        sys.exit("stage.py: this one fails")
    deadline = time.monotonic() + 120
    while (root / ".meet").exists() and len({*(root / ".begun").read_text()}) < 2:
        if time.monotonic() > deadline:
            sys.exit("stage.py: nobody came")
        time.sleep(0.1)
for evaluation in range(1, 5):
    curve += f"{evaluation * 100}\\t{FIGURES.get(number, 1.0) * evaluation / 4}\\n"
    (out / "plots" / "metrics" / f"{name}.tsv").write_text(curve)
    time.sleep(600 if number == "3" and stage == "finetune" else 0.1)
"""


def environment() -> dict[str, str]:
    who = {
        f"GIT_{role}_{what}": "t@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return command_line.environment(PATH=path, DVC_NO_ANALYTICS="1", **who)


def run(here: Path, *command: str) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(command, cwd=here, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def make(here: Path) -> Path:
    here.mkdir()
    (here / "data").mkdir()
    (here / "data" / "no_input").touch()
    shutil.copyfile(ROOT / "params.yaml", here / "params.yaml")
    edit.fill(here / "params.yaml", {"profile": "smoke"})
    (here / "dvc.yaml").write_text(DAG)
    (here / "stage.py").write_text(STAGE)
    (here / ".gitignore").write_text("/plots\n/.begun\n/.meet\n")
    run(here, "git", "init", "-q", "-b", "main", ".")
    run(here, "dvc", "init", "-q")
    run(here, "git", "add", "-A")
    run(here, "git", "commit", "-qm", "start")
    return here


def begun(here: Path) -> str:
    """The numbers of the trials whose training began, in the order in which they did."""
    return (here / ".begun").read_text() if (here / ".begun").exists() else ""
