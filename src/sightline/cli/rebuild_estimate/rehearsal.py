"""A rehearsal of the stages that train: `python -m sightline.cli.rebuild_estimate.rehearsal CHECKOUT OUT`, in
a folder that holds data/raw. Runs the checkout's own stages there, with its parameters, for a few steps, and
writes to OUT what they took.

Times are of the processor, so that other work on the machine hardly counts.
"""

import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sightline.core import artifacts
from sightline.core.params.checks import NO_INPUT
from sightline.core.params.loader import Params, load_params
from sightline.data.questions.triples import Triples

SIZE = 32  # items of a step
STEPS = {"pretrain": (1, 3), "align": (1, 3), "finetune": (1, 5)}  # the second run less the first is timed


def main(checkout: Path, out: Path) -> None:
    """Convert, then train; `out` gets {"vqa": its config and the images of each split, "convert": seconds,
    "per_item": {stage: seconds}}."""
    params = _params(checkout)
    convert = _stage(checkout, "convert")
    began = time.process_time()
    convert(params)
    seconds = time.process_time() - began
    vqa = artifacts.load(Path("data/vqa"), "vqa")
    images = {split: len(Triples(vqa.path, split).by_item()) for split in vqa.config["counts"]}
    per_item = {name: _train(_stage(checkout, name), params, name, images["train"]) for name in STEPS}
    result = {"vqa": vqa.config | {"images": images}, "convert": seconds, "per_item": per_item}
    artifacts.write_json(out, result)


def _params(checkout: Path) -> Params:
    """Of the checkout, for one process, with its weight files as seen from here."""
    file, alone = checkout / "params.yaml", {"launch": "python", "profile_steps": 0}
    params = load_params(file, alone)
    given = {
        f"{section}.checkpoint": getattr(params, section).checkpoint
        for section in ("text", "vision", "dual_encoder", "decoder")
    }
    local = {key: str(checkout / path) for key, path in given.items() if path != NO_INPUT}
    return load_params(file, alone | local)


def _stage(checkout: Path, name: str) -> Callable[[Params], Any]:
    return runpy.run_path(str(checkout / "stages" / f"{name}.py"))["main"]


def _train(stage: Callable[[Params], Any], params: Params, name: str, images: int) -> float:
    """Seconds of an item in a stage that trains; 0 for one that trains nothing, which still writes its
    model."""
    section = getattr(params, name)
    if not section.epochs:
        stage(params)
        return 0.0
    size = min(SIZE, section.batch_size, images)
    smaller: dict[str, Any] = {"batch_size": size, "evals": 1, "min_steps": 0}
    if name == "align":  # as large a part of the batch as in the build
        smaller["matching_samples"] = max(2, section.matching_samples * size // section.batch_size)
    taken = []
    for steps in STEPS[name]:
        few = section.replaced(epochs=steps / (images // size), **smaller)
        began = time.process_time()
        stage(params.model_copy(update={name: few}))
        taken.append(time.process_time() - began)
    few_steps, more_steps = STEPS[name]
    return max(taken[1] - taken[0], 0.0) / ((more_steps - few_steps) * size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
