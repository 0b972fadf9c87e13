"""The arms of the study and their compute budgets: pure functions of lab/ablations.yaml and measured costs.

A stage costs `fixed + per_epoch * epochs` core-seconds: start-up, evaluations and export on the one side,
training steps on the other. Every arm gets the core-seconds of `default`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

DEFAULT = "default"
STAGES = ("pretrain", "align", "finetune")
FIELDS = ("why", "changes", "repays")
# Sections beside its own that a stage trains by, or whose values would be refused beside those.
ALSO_READ = {"finetune": ("decoder.", "compress.")}


class StudyError(ValueError):
    """An arm that cannot run; the message names the arm and the reason."""


@dataclass(frozen=True)
class Arm:
    """`changes`: dotted leaves of params.yaml; `repays`: the stage whose epochs even out the compute."""

    name: str
    why: str
    changes: dict[str, Any]
    repays: str


@dataclass(frozen=True)
class Cost:
    """Core-seconds of a stage in one configuration; 0 an epoch where it does not train."""

    fixed: float
    per_epoch: float

    def of(self, epochs: float) -> float:
        return self.fixed + self.per_epoch * epochs


@dataclass(frozen=True)
class Plan:
    """All changes of an arm, epochs included, and the core-seconds each stage should take."""

    changes: dict[str, Any]
    core_seconds: dict[str, float]


def read(path: Path) -> dict[str, Arm]:
    """The arms by name. Raises StudyError naming file, arm and what is wrong."""
    content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or DEFAULT not in content:
        raise StudyError(f"{path}: expected arms by name, one of them {DEFAULT!r}")
    arms = {}
    for name, block in content.items():
        unknown = sorted(set(block) - set(FIELDS))
        if unknown or "why" not in block:
            raise StudyError(f"{path}: arm {name!r} has {', '.join(block)}; expected why, changes, repays")
        repays = block.get("repays", "finetune")
        if repays not in STAGES:
            raise StudyError(f"{path}: arm {name!r} repays {repays!r}; expected one of {', '.join(STAGES)}")
        arms[name] = Arm(name, block["why"], dict(block.get("changes") or {}), repays)
    if arms[DEFAULT].changes:
        raise StudyError(f"{path}: {DEFAULT!r} is what the others are compared with and changes nothing")
    return arms


def configuration(stage: str, changes: dict[str, Any]) -> str:
    """What decides the cost of an epoch of `stage`: its changed leaves, and whether it trains at all."""
    read = (f"{stage}.", *ALSO_READ.get(stage, ()))
    leaves = {key: value for key, value in changes.items() if key.startswith(read)}
    if leaves.pop(f"{stage}.epochs", 1) == 0:
        leaves = {f"{stage}.epochs": 0}
    return f"{stage} {json.dumps(leaves, sort_keys=True)}"


def last_shared(changes_by_arm: list[dict[str, Any]]) -> str:
    """The last stage whose result no arm of one seed changes: it need not run more than once."""
    shared = "convert"
    for number, stage in enumerate(STAGES):
        later = tuple(
            prefix for other in STAGES[number + 1 :] for prefix in (f"{other}.", *ALSO_READ.get(other, ()))
        )
        earlier = [
            {key: value for key, value in changes.items() if not key.startswith(later)}
            for changes in changes_by_arm
        ]
        if any(each != earlier[0] for each in earlier):
            break
        shared = stage
    return shared


def configurations(arms: dict[str, Arm]) -> list[str]:
    """Every distinct configuration that the arms run, in the order of the stages."""
    return list(dict.fromkeys(configuration(stage, arm.changes) for stage in STAGES for arm in arms.values()))


def plan(arms: dict[str, Arm], epochs: dict[str, float], costs: dict[str, Cost]) -> dict[str, Plan]:
    """The epochs of every arm, so that all cost what `default` costs at `epochs` (by stage).

    Raises StudyError for an arm whose change costs more than its repaying stage can save.
    """
    budget = sum(costs[configuration(stage, {})].of(epochs[stage]) for stage in STAGES)
    plans = {}
    for arm in arms.values():
        chosen = {stage: arm.changes.get(f"{stage}.epochs", epochs[stage]) for stage in STAGES}
        cost = {stage: costs[configuration(stage, arm.changes)] for stage in STAGES}
        other_stages = sum(cost[stage].of(chosen[stage]) for stage in STAGES if stage != arm.repays)
        repaying = cost[arm.repays]
        left = budget - other_stages - repaying.fixed
        if repaying.per_epoch <= 0 or left <= 0:
            raise StudyError(
                f"arm {arm.name!r}: {left:.1f} core-seconds are left to train {arm.repays}, at "
                f"{repaying.per_epoch:.2f} an epoch; let another stage repay, or raise --scale"
            )
        chosen[arm.repays] = round(left / repaying.per_epoch, 4)
        plans[arm.name] = Plan(
            {**arm.changes, **{f"{stage}.epochs": chosen[stage] for stage in STAGES}},
            {stage: round(cost[stage].of(chosen[stage]), 2) for stage in STAGES},
        )
    return plans
