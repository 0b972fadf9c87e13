"""Whether what was built can be trained on: said at once, before anything is trained."""

import json
from collections import Counter
from pathlib import Path

from sightline.core.params.data_params import DataParams
from sightline.data.shards import Items

SAME_REASON = 0.9  # of the pictures: a fault that nearly all share is one of the set-up, not of the data

CURES = {
    "image_connection": "; check the network and run it again: what was fetched is kept",
    "image_missing": "; name the folder that the paths start from: -S data.pictures=<folder>",
}


def require(config: dict, out: Path, params: DataParams) -> None:
    """Raises ValueError, with the reason and the cure, where nearly every picture was refused for the same
    reason, and where train, val or test has no picture. `config`: what the source's build returned."""
    pictures = config.get("pictures", {})
    named = pictures.get("kept", 0) + pictures.get("refused", 0)
    faults = {name: n for name, n in config.get("rejected", {}).items() if name.startswith("image_")}
    reason = max(faults, key=lambda name: faults[name], default="")
    if reason and faults[reason] >= SAME_REASON * named:
        raise ValueError(
            f"{faults[reason]} of {named} pictures were refused for the same reason, {reason}; the first: "
            f"{_first(out, reason)}{CURES.get(reason, '')}"
        )
    items = Items(out)
    shown = Counter(item["split"] for item in (items[n] for n in range(len(items))) if item["image"])
    empty = [name for name in ("train", "val", "test") if not shown[name]]
    if not empty:
        return
    counts = ", ".join(f"{name} {shown[name]}" for name in ("train", "val", "test"))
    total = sum(shown.values())
    if not total:
        cure = "name the column of the pictures in data.columns.image" if not named else "see the refusals"
        raise ValueError(
            f"none of {len(items)} items has a picture, and a model is trained on pictures; {cure}"
            + _refused(config)
        )
    cure = f"at least 3 items with a picture are needed, {total} are there; add rows"
    if total >= 3:
        cure = (
            f"add rows, raise data.val_share ({params.val_share}), or name the split of each item in "
            "data.columns.split"
        )
    raise ValueError(f"no picture is left for {' and '.join(empty)} ({counts}): {cure}" + _refused(config))


def _refused(config: dict) -> str:
    refused = ", ".join(f"{name} {n}" for name, n in sorted(config.get("rejected", {}).items()))
    return f"; refused: {refused}" if refused else ""


def _first(out: Path, reason: str) -> str:
    with open(out / "rejected.jsonl", encoding="utf-8") as file:
        return next(record["detail"] for record in map(json.loads, file) if record["reason"] == reason)
