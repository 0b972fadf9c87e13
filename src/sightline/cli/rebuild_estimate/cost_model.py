"""Minutes and disk of a build, from what a rehearsal on this machine took.

The stages that train cost seconds per item and epoch, as rehearsed. What the other stages do is in proportion
to an item of fine-tuning: the factors are those of metrics/cost.json, profile `scenes`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from sightline.core import launch
from sightline.core.params.loader import Params
from sightline.core.params.train_params import Training

EFFICIENCY = 0.9  # of a second process: scenes take 1.8 times as many core-seconds as seconds
BLIND = 0.6  # of a fine-tuning step: without the image tower
EVALUATED = 5.0  # processor time of an evaluated picture, in items of fine-tuning: answers and retrieval
DESCRIBED = 5.0  # and of its descriptions, greedily in 72 tokens
ATTACKED = 0.15  # of a question of an attack
ATTACKS = 36  # questions for each of `red_team.items`, beside those of the search: those of twelve families
FIXED_S = {"pretrain": 8.0, "align": 10.0, "finetune": 12.0, "compress": 12.0, "export": 60.0, "index": 3.0,
           "explain": 8.0, "evaluate": 6.0, "red_team": 3.0}  # fmt: skip  # starts, graphs, checks: any size
CACHED = 2  # DVC copies what a stage writes into its cache, unless the file system can share it
MODELS_GIB = 0.4  # of weights and graphs


@dataclass(frozen=True)
class Measured:
    """Processor seconds: of an item, by stage. items: of the whole data by split, with a picture and kept."""

    per_item: Mapping[str, float]
    items: Mapping[str, int]


def minutes(params: Params, measured: Measured) -> dict[str, float]:
    """Minutes of each stage on this machine, if nothing else runs on it."""
    train, per_item = measured.items.get("train", 0), measured.per_item
    tuned = per_item.get("finetune", per_item.get("align", 0.0))
    shown = sum(_limited(measured.items.get(split, 0), params.evaluate.max_items)
                for split in params.evaluate.splits)  # fmt: skip
    words = params.generation.beams * params.generation.candidates * params.generation.max_tokens / 72
    seconds = {
        "download": per_item["download"] * sum(measured.items.values()),
        "convert": per_item["convert"] * sum(measured.items.values()),
        "pretrain": per_item.get("pretrain", 0.0) * _passed(params.pretrain, train) / _processes(params),
        "align": per_item.get("align", 0.0) * _passed(params.align, train) / _processes(params),
        "finetune": tuned * _passed(params.finetune, train) * (1 + BLIND * params.finetune.blind_share)
        / _processes(params),
        "compress": 1.5 * tuned * _passed(params.finetune, train) * params.compress.recovery_epochs
        / (params.finetune.epochs or 1.0),
        "export": tuned * (params.export.parity_items + params.export.selection_items) / 4,
        "index": tuned * sum(measured.items.values()) / 4,
        "explain": tuned * 20 * params.explain.items,
        "red_team": ATTACKED * tuned * params.red_team.items * (ATTACKS + params.red_team.queries),
        "evaluate": tuned * shown * (EVALUATED + DESCRIBED * words),
    }  # fmt: skip
    return {name: (time + FIXED_S.get(name, 1.0)) / 60 for name, time in seconds.items()}


def disk_gib(bytes_per_item: float, items: int) -> float:
    """Of what the stages write, and of DVC's copy."""
    return CACHED * (bytes_per_item * items / 2**30 + MODELS_GIB)


def _passed(section: Training, train: int) -> float:
    """Items that a stage passes in all its steps."""
    if not section.epochs:
        return 0.0
    return max(section.epochs * train, section.min_steps * min(section.batch_size, train))


def _limited(count: int, limit: int) -> int:
    return min(count, limit) if limit else count


def _processes(params: Params) -> float:
    """By how much the processes of `launch` are faster than one."""
    sizes = [section.batch_size for section in (params.pretrain, params.align, params.finetune)]
    world = min(launch.processes(params.launch, sizes), os.cpu_count() or 1)
    return 1.0 if world == 1 else EFFICIENCY * world
