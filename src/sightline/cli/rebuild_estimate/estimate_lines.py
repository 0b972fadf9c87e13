"""What `sightline estimate` says of data that were never built: sizes, minutes, disk, and what these data
cannot teach."""

import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightline.cli.rebuild_estimate import cost_model, data_sample
from sightline.core import progress
from sightline.core.artifacts import read_json
from sightline.core.params.checks import NO_INPUT
from sightline.core.params.loader import Params
from sightline.data.questions import split_coverage

GIB = 2**30
SHARE_HALF_WIDTH = 98.0  # points, over the root of n: 95 % bounds of a share near one half


def lines(checkout: Path, params: Params) -> list[str]:
    """The lines. Raises ValueError, in the words of the stage that would fail, where a build cannot work."""
    if params.data.base_url.startswith(("http", "hf:")) and not params.data.has_path:
        return [
            f"its archives are fetched from {params.data.base_url} first, so nothing is known of them yet"
        ]
    with tempfile.TemporaryDirectory() as scratch:
        with progress.step("reading a sample of the data"):
            sample = data_sample.take(_absolute(params, checkout), Path(scratch))
        with progress.step("rehearsing the training"):
            rehearsed = _rehearse(checkout, Path(scratch))
    kept = _kept(rehearsed["vqa"], sample)
    items = {split: round(n * kept.get(split, 0.0)) for split, n in sample.items.items()}
    per_item = {**rehearsed["per_item"], "download": sample.seconds_per_item,
                "convert": rehearsed["convert"] / max(sum(sample.taken.values()), 1)}  # fmt: skip
    minutes = cost_model.minutes(params, cost_model.Measured(per_item, items))
    said = [_sizes(sample), _time(minutes), _disk(checkout, sample)]
    return [*said, _questions(rehearsed["vqa"]), *left_out(rehearsed["vqa"], items), *_bounds(params, items)]


def _absolute(params: Params, checkout: Path) -> Params:
    """The params with the local inputs that are given as seen from anywhere."""
    given = {"path": params.data.path, "pictures": params.data.pictures}
    local = {name: str(checkout / path) for name, path in given.items() if path != NO_INPUT}
    return params.model_copy(update={"data": params.data.replaced(**local)})


def _rehearse(checkout: Path, scratch: Path) -> dict[str, Any]:
    module = "sightline.cli.rebuild_estimate.rehearsal"
    command = [sys.executable, "-m", module, str(checkout), "rehearsed.json"]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or ["the rehearsal ended early"])[-1])
    return read_json(scratch / "rehearsed.json")


def _kept(vqa: Mapping[str, Any], sample: data_sample.Sample) -> dict[str, float]:
    """Of each split, the share of items that are trained or asked on: with a picture, and not left out."""
    return {split: vqa["images"].get(split, 0) / max(n, 1) for split, n in sample.taken.items()}


def _sizes(sample: data_sample.Sample) -> str:
    splits = ", ".join(f"{split} {n:,}" for split, n in sample.items.items())
    fetched = f"; {sample.remote:,} pictures are fetched from the internet" if sample.remote else ""
    return f"{sum(sample.items.values()):,} items ({splits}){fetched}"


def _time(minutes: Mapping[str, float]) -> str:
    longest = sorted(minutes, key=lambda name: -minutes[name])[:3]
    parts = ", ".join(f"{name} {minutes[name]:.0f}" for name in longest)
    return f"about {math.ceil(sum(minutes.values()))} min on this machine if nothing else runs ({parts})"


def _disk(checkout: Path, sample: data_sample.Sample) -> str:
    needed = cost_model.disk_gib(sample.bytes_per_item, sum(sample.items.values()))
    free = shutil.disk_usage(checkout).free / GIB
    short = "; WARNING: that is less than a build needs" if free < needed else ""
    return f"about {needed:.1f} GiB of disk, {free:.0f} GiB free here{short}"


def _questions(vqa: Mapping[str, Any]) -> str:
    """Short questions by type, in a picture of train."""
    images = max(vqa["images"].get("train", 0), 1)
    counts = {name: n for name, n in vqa["counts"].get("train", {}).items()
              if name != "describe" and not name.startswith("answers_")}  # fmt: skip
    listed = ", ".join(
        f"{name} {n / images:.2f}" for name, n in sorted(counts.items(), key=lambda it: -it[1])
    )
    if not counts:
        return "no short questions: the model will search and describe, and answer none"
    return f"short questions a picture: {sum(counts.values()) / images:.1f} ({listed})"


def left_out(vqa: Mapping[str, Any], items: Mapping[str, int]) -> list[str]:
    """What the converter would leave out: its sentences on the sample with the counts of the whole data."""
    of_sample = split_coverage.left_out(vqa["counts"], vqa["images"], [])
    told = [sentence for sentence in vqa["left_out"] if sentence not in of_sample]
    reckoned = {
        split: {
            kind: round(n * items.get(split, 0) / max(vqa["images"].get(split, 0), 1))
            for kind, n in of_split.items()
        }
        for split, of_split in vqa["counts"].items()
    }
    return [f"left out: {sentence}" for sentence in split_coverage.left_out(reckoned, items, told)]


def _bounds(params: Params, items: Mapping[str, int]) -> list[str]:
    """What each asked split can show at best."""
    return [
        f"{split} has {items.get(split, 0):,} pictures: a share such as accuracy is known to "
        f"{SHARE_HALF_WIDTH / math.sqrt(max(items.get(split, 0), 1)):.0f} points at best"
        for split in params.evaluate.splits
    ]
