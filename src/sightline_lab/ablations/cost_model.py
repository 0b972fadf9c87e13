"""What an epoch costs: short runs of the stages, outside DVC, on data and models that never trained."""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from sightline.core.artifacts import read_json, write_json
from sightline_lab.ablations import arms as planning
from sightline_lab.ablations.arms import STAGES, Arm, Cost, StudyError
from sightline_lab.ablations.workspaces import SAME_IN_ALL, Echo, Workspaces, change, stage_costs

FOLDER = "calibration"  # in the workspaces' folder while it is measured
NEVER = {"pretrain.epochs": 0, "align.epochs": 0, "finetune.init_from_alignment": False}
SHARES = (0.02, 0.08)  # of the profile's epochs: the two runs whose difference is the cost of an epoch
SIGNAL_S = 3.0  # core-seconds by which they must differ, else the longer one is made four times as long


def costs(workspaces: Workspaces, arms: Mapping[str, Arm], jobs: int, echo: Echo) -> dict[str, Cost]:
    """Cost of every configuration that the arms run; what was measured before is kept."""
    kept = workspaces.home / "calibration.json"
    measured = read_json(kept) if kept.exists() else {}
    missing = [name for name in planning.configurations(arms) if name not in measured]
    if missing:
        echo(f"measuring what an epoch costs, {len(missing)} configurations")
        base = workspaces.home / FOLDER
        workspaces.copy(base, NEVER | {"seed": workspaces.params.seed})
        workspaces.call(["dvc", "repro", "align"], base)  # models that the stages can start from
        with workspaces.pool(jobs) as pool:
            for name, cost in zip(missing, pool.map(partial(_cost, workspaces), missing), strict=True):
                measured[name] = asdict(cost)
                write_json(kept, measured)
                echo(f"  {name}: {cost.fixed:.1f} core-seconds and {cost.per_epoch:.1f} an epoch")
        shutil.rmtree(base)
    return {name: Cost(**cost) for name, cost in measured.items()}


def _cost(workspaces: Workspaces, name: str) -> Cost:
    """Two short runs of a configuration's stage; one where it does not train."""
    stage, leaves = name.split(" ", 1)
    changes, whole = json.loads(leaves), getattr(workspaces.params, stage).epochs
    if f"{stage}.epochs" in changes or not whole:
        return Cost(round(_seconds(workspaces, stage, changes), 2), 0.0)
    low, high = (share * whole for share in SHARES)
    short, long = (_seconds(workspaces, stage, changes | {f"{stage}.epochs": e}) for e in (low, high))
    while long - short < SIGNAL_S and high < whole:
        high = min(4 * high, whole)
        long = _seconds(workspaces, stage, changes | {f"{stage}.epochs": high})
    if long <= short:
        raise StudyError(
            f"{name}: {high:.3g} epochs took {long:.2f} core-seconds and {low:.3g} took {short:.2f}, so "
            "an epoch's cost is lost in noise; use a larger profile"
        )
    per_epoch = (long - short) / (high - low)
    return Cost(round(max(0.0, short - per_epoch * low), 2), round(per_epoch, 3))


def _seconds(workspaces: Workspaces, stage: str, changes: dict[str, Any]) -> float:
    """Core-seconds of one run of a stage script, outside DVC, on the calibration's data and models."""
    base = workspaces.home / FOLDER
    key = hashlib.sha256(json.dumps([stage, changes], sort_keys=True).encode()).hexdigest()[:12]
    folder = base / "runs" / key
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "models").mkdir(parents=True)
    (folder / "data").symlink_to(base / "data")
    for model in ("text", "clip")[: STAGES.index(stage)]:
        (folder / "models" / model).symlink_to(base / "models" / model)
    shutil.copyfile(workspaces.checkout / "params.yaml", folder / "params.yaml")
    shutil.copytree(workspaces.checkout / "profiles", folder / "profiles")
    change(folder / "params.yaml", SAME_IN_ALL | changes)
    workspaces.call([sys.executable, str(base / "stages" / f"{stage}.py")], folder, base / "src")
    return stage_costs(folder)[stage]["core_seconds"]
