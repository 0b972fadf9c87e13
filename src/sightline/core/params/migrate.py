"""A params.yaml of 0.9.0 in today's form: new names, the section generation, profiles as files.

Every profile of the old file comes to the same values as before: what it sets beyond today's profile of that
name is written into profiles/<name>.yaml, and what the top of the old file filled stays filled.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline.core.params import edit
from sightline.core.params.checks import NO_INPUT, ParamsError, describe_value
from sightline.core.params.loader import read_profiles
from sightline.core.params.params_files import (
    FOLDER,
    LOCAL,
    ParamsFile,
    check_leaf,
    read_document,
    read_text,
    read_top,
)
from sightline.core.params.sections import leaves

RENAMED = {
    "data.pins": "data.checksums",
    "text.norm_kind": "text.norm_type",
    "text.tied": "text.tie_embeddings",
    "pretrain.mask_share": "pretrain.mlm_probability",
    "pretrain.warmup_share": "pretrain.warmup_ratio",
    "align.mirror": "align.horizontal_flip",
    "align.warmup_share": "align.warmup_ratio",
    "finetune.norm_kind": "finetune.norm_type",
    "finetune.tied": "finetune.tie_embeddings",
    "finetune.aligned_start": "finetune.init_from_alignment",
    "finetune.mirror": "finetune.horizontal_flip",
    "finetune.warmup_share": "finetune.warmup_ratio",
    "evaluate.max_new_tokens": "generation.max_tokens",
    "index.candidates": "generation.candidates",
    "index.contrast": "generation.contrast",
}
# What is no parameter any more, and the value that changed nothing.
GONE: dict[str, Any] = {
    "convert.hash_distance": 4,
    "evaluate.described_top": 5,
    "finetune.split_cross_attention": False,
    "finetune.spin_training.probability": 0.0,
}
# What 0.9.0 did not have, and the value that does what it did.
SINCE: dict[str, Any] = {
    "vision.trained_blocks": 0,
    "align.vision_lr_scale": 1.0,
    "align.warmup_phase_share": 0.0,
    "align.standardize": False,
    "finetune.captions_per_image": 1,
    "finetune.short_answer_weight": 4.0,
    "finetune.label_smoothing": 0.0,
    "finetune.self_critical_epochs": 0.0,
    "export.mirrored_views": False,
    "evaluate.prior_pictures": 0,
}
RELATED = ("finetune.spin_training.",)
OLD_SUFFIX = ".old"
TWO_PROCESSES = "python -m torch.distributed.run --standalone --nproc-per-node 2"  # the value of 0.9.0
EDITORS = "# yaml-language-server: $schema=../docs/reference/params.schema.json"
Leaves = dict[str, Any]


@dataclass
class Migration:
    """Values of the new files, and the messages to print."""

    top: Leaves = field(default_factory=dict)
    profiles: dict[str, Leaves] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


def migrate(old: Path, root: Path) -> list[str]:
    """Write what `old` holds into params.yaml and profiles/ below `root`; return lines of what was done.

    A file that changes is kept beside itself as <name>.old. Raises ParamsError for a file that is no
    params.yaml of 0.9.0, and FileExistsError where a kept file would be overwritten: nothing is written then.
    """
    document = _document(old)
    top, profiles = read_top(root / "params.yaml"), read_profiles(root)
    plan = _plan(document, top, profiles)
    changed = [root / "params.yaml"] if plan.top else []
    changed += [root / FOLDER / f"{name}.yaml" for name, values in plan.profiles.items() if values]
    kept = [path.with_name(path.name + OLD_SUFFIX) for path in changed]
    for path in kept:
        if path.exists():
            raise FileExistsError(f"{path} is kept from before; move it away first")
    for path, copy in zip(changed, kept, strict=True):
        if path.exists():
            shutil.copyfile(path, copy)
    if plan.top:
        edit.fill(root / "params.yaml", plan.top)
    for name, values in plan.profiles.items():
        _write_profile(root / FOLDER / f"{name}.yaml", values)
    written = [f"wrote {path.relative_to(root)}" for path in changed]
    backups = [f"kept {path.relative_to(root)}" for path in kept if path.exists()]
    return [
        *plan.messages,
        *(written or ["nothing differs from today's params.yaml and profiles/"]),
        *backups,
    ]


def _document(path: Path) -> dict[str, Any]:
    document = read_document(path, read_text(path))
    if not isinstance(document.get("profiles"), dict):
        raise ParamsError(
            "profiles",
            describe_value(document),
            "a params.yaml of 0.9.0, which holds its profiles",
            str(path),
        )
    return document


def _plan(document: dict[str, Any], top: ParamsFile, profiles: dict[str, ParamsFile]) -> Migration:
    plan = Migration()
    blocks = {
        name: _renamed(block or {}, plan, f"profiles.{name}") for name, block in document["profiles"].items()
    }
    above = _renamed(
        {key: value for key, value in document.items() if key != "profiles"}, plan, "params.yaml"
    )
    chosen = above["profile"]
    for name, block in blocks.items():
        for key in LOCAL:
            path = block.pop(key, None)
            if path and name == chosen and above.get(key) is None:
                above[key] = path
            elif path:
                plan.messages.append(f"profile {name} had {key} = {path}: give it with -S {key}={path}")
    _unshare(plan, above, blocks, top, profiles)
    roots = [file.filled() for file in profiles.values() if file.extends is None]
    common = {key: value for key, value in {**above, **SINCE}.items() if value is not None}
    for key, value in common.items():  # which a profile of today may have otherwise than all of the old file
        if all(root.get(key) == value for root in roots):
            for block in blocks.values():
                block.setdefault(key, value)
    for name in sorted(blocks, key=lambda name: _depth(name, profiles)):
        _plan_profile(plan, name, blocks[name], top, profiles)
    for key, value in above.items():
        in_profiles = top.values[key] is None and all(root.get(key) == value for root in roots)
        if value is not None and value != plan.top.get(key, top.values[key]) and not in_profiles:
            plan.top[key] = value
            plan.messages.append(f"{key} = {value!r} in params.yaml")
    return plan


def _plan_profile(
    plan: Migration, name: str, wanted: Leaves, top: ParamsFile, profiles: dict[str, ParamsFile]
) -> None:
    """Note what the profile's file has to hold so that it comes to `wanted`."""
    parent = profiles[name].extends if name in profiles else "scenes"
    current = dict(profiles[name].filled()) if name in profiles else {}
    inherited = _inherited(plan, parent, profiles)
    shared = {
        key: value for key, value in top.filled().items() if key not in plan.top or plan.top[key] is not None
    }
    changes = {
        key: value
        for key, value in wanted.items()
        if value is not None and value != {**shared, **inherited, **current}.get(key)
    }
    plan.profiles[name] = changes
    if name not in profiles:
        plan.profiles[name] = {"extends": parent, **changes}
        plan.messages.append(f"profile {name} is {FOLDER}/{name}.yaml, which extends {parent}")
    plan.messages.extend(f"{key} = {value!r} in {FOLDER}/{name}.yaml" for key, value in changes.items())


def _unshare(
    plan: Migration,
    above: Leaves,
    blocks: dict[str, Leaves],
    top: ParamsFile,
    profiles: dict[str, ParamsFile],
) -> None:
    """Empty the leaves of params.yaml that some old profile has otherwise, and give them to the profiles."""
    shared = top.filled()
    for key in leaves():
        values = [block.get(key) for block in blocks.values() if block.get(key) is not None]
        if (
            key in shared
            and key not in LOCAL
            and above.get(key) is None
            and any(v != shared[key] for v in values)
        ):
            plan.top[key] = None
            for name, file in profiles.items():
                if file.extends is None:
                    blocks.setdefault(name, {}).setdefault(key, shared[key])
            plan.messages.append(f"{key} is the profiles' own now, as they differ in it")


def _inherited(plan: Migration, parent: str | None, profiles: dict[str, ParamsFile]) -> Leaves:
    if parent is None:
        return {}
    above = _inherited(plan, profiles[parent].extends, profiles)
    return {**above, **profiles[parent].filled(), **plan.profiles.get(parent, {})}


def _depth(name: str, profiles: dict[str, ParamsFile]) -> int:
    depth = 0
    while name in profiles and (parent := profiles[name].extends):
        name, depth = parent, depth + 1
    return depth if name in profiles else depth + 1


def _write_profile(path: Path, values: Leaves) -> None:
    if values and not path.exists():
        path.write_text(f"{EDITORS}\n{{}}\n", encoding="utf-8")
    if values:
        edit.fill(path, values)


def _renamed(block: dict[str, Any], plan: Migration, where: str) -> Leaves:
    """Return the block's leaves by their names of today."""
    flat: Leaves = {}
    for section, value in block.items():
        if isinstance(value, dict):
            flat |= {f"{section}.{leaf}": inner for leaf, inner in value.items()}
        else:
            flat[section] = value
    for leaf, inner in (flat.pop("finetune.spin_training", None) or {}).items():
        flat[f"finetune.spin_training.{leaf}"] = inner
    for key, harmless in GONE.items():
        value = flat.pop(key, None)
        if value not in (None, harmless):
            plan.messages.append(f"{where}: {key} = {value!r} is left out: that experiment has ended")
    values = {RENAMED.get(key, key): value for key, value in flat.items() if not key.startswith(RELATED)}
    if values.get("data.source") == "csv":
        values["data.source"] = "table"
    for key in (key for key in values if key.endswith(".precision")):
        values[key] = "auto" if values[key] == "bf16" else values[key]  # the same where bf16 is computed
    if values.get("launch") == TWO_PROCESSES:
        values["launch"] = "auto"  # the same on a CPU; an accelerator was left alone before
    _decoding(values)
    _towers(values)
    unknown = sorted(set(values) - set(leaves()))
    if unknown:
        raise ParamsError(unknown[0], "an unknown key", "a leaf of a params.yaml of 0.9.0", where)
    return {key: value if value is None else check_leaf(key, value) for key, value in values.items()}


def _decoding(values: Leaves) -> None:
    """evaluate.beams becomes a method; a bundle that chose among candidates answered greedily."""
    beams = values.pop("evaluate.beams", None)
    if beams is not None:
        guided = (values.get("generation.candidates") or 1) > 1
        values["generation.method"] = "greedy" if guided or beams == 1 else "beam"
        values["generation.beams"] = 1 if guided else beams


def _towers(values: Leaves) -> None:
    if values.get("text.tower") == "bag":
        values["text.tower"] = "idf_bag"
    checkpoint = values.pop("text.checkpoint", None)
    if checkpoint is not None:
        folder = Path(checkpoint).is_dir() and bool(checkpoint)
        values["text.checkpoint" if folder else "text.name"] = checkpoint
    weights = values.pop("vision.checkpoint", None)
    if weights is not None:
        values["vision.pretrained"] = weights if weights in ("none", "hub") else "file"
        if values["vision.pretrained"] == "file":
            values["vision.checkpoint"] = weights
    if values.get("vision.tower") in ("timm", "torchvision"):
        values["vision.preprocessing"] = "plain"
    if values.get("data.path") in ("", NO_INPUT):
        del values["data.path"]
