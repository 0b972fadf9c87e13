"""`profile_steps` under the real DVC, on the smoke profile: every training is traced, and nothing else that
the stages write changes."""

import json
from pathlib import Path

from ruamel.yaml import YAML

from sightline.core import profile_page, trace_events
from sightline.core.params import edit
from sightline.train.step_profiler import REST, StepTrace

TRAININGS = ("plots/pretrain", "plots/align", "plots/finetune/vlm", "plots/finetune/blind", "plots/compress")


def outs(repo) -> dict[str, str]:
    lock = YAML(typ="safe", pure=True).load((repo.path / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def check(folder: Path) -> None:
    made = json.loads((folder / profile_page.FIGURES).read_text())
    trace = StepTrace(trace_events.read(folder / trace_events.FILE))
    assert len(trace.steps) == 2, folder
    for part in ("data", "forward", "backward", "optimizer", "log"):
        assert trace.parts[part][0] == 2 and trace.parts[part][1] > 0, (folder, part)
    assert abs(sum(row["ms"] for row in made["phases"]) - trace.us / 1e3) < 0.01
    assert {row["name"] for row in made["phases"]} > {"forward", REST}
    assert "://" not in (folder / profile_page.PAGE).read_text()


def test_every_training_is_traced_and_no_other_output_changes(experiment_repo):
    repo, before = experiment_repo, outs(experiment_repo)
    assert not list(repo.path.glob("plots/**/profile"))
    edit.fill(repo.path / "params.yaml", {"profile_steps": 2})
    ran = repo.stages_run(repo.run("dvc", "repro").stdout)
    assert ran == ["resolve", "pretrain", "align", "finetune", "compress"]
    changed = {path for path, md5 in outs(repo).items() if md5 != before[path]}
    plots = {"/".join(training.split("/")[:2]) for training in TRAININGS}
    assert changed == {"resolved.yaml", *plots}
    for training in TRAININGS:
        check(repo.path / training / "profile")
    assert repo.stages_run(repo.run("dvc", "repro").stdout) == []
    edit.fill(repo.path / "params.yaml", {"profile_steps": 0})
    repo.run("dvc", "repro")  # DVC has these runs in its cache
    assert outs(repo) == before and not list(repo.path.glob("plots/**/profile"))
