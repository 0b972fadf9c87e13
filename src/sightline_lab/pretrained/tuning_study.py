"""A small CLIP and SigLIP, trained by transformers on some rendered scenes, then tuned here on others, three
ways: what step 0 computes beside transformers, and what tuning gains over it on val and on test.

Shapes: N pairs, E embedding width.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sightline.core import artifacts, runtime
from sightline.core.params.loader import Params, load_params
from sightline.core.runtime import Runtime
from sightline.data.questions.convert_captions import convert
from sightline.data.scenes import sample as sampling
from sightline.data.shards import Items
from sightline.data.sources import scenes
from sightline.data.tokenizer import Tokenizer
from sightline.evaluate.metrics import retrieval
from sightline.inference import bundle_settings, torch_session
from sightline.inference.bundle_settings import BundleSettings
from sightline.inference.session import Session
from sightline.inference.torch_engine import TorchEngine
from sightline.models import pretrained_dual_encoder
from sightline.models.dual_encoder import DualEncoder
from sightline.train.align import align
from sightline.train.pretrain import pretrain
from sightline_lab.pretrained import small_checkpoints
from sightline_lab.pretrained.small_checkpoints import Pairs

KINDS = ("clip", "siglip")
# The pretrained parts learn at tuning_lr_scale times the rate of our own heads.
TUNINGS: dict[str, dict[str, Any]] = {
    "frozen": {},
    "lora": {"align.tuning_lr_scale": 1.0},
    "whole": {"align.tuning_lr_scale": 0.3, "align.layer_decay": 0.8},
}
ELSEWHERE = 11  # seed of the scenes that the checkpoint learned: none of them is in the data


@dataclass(frozen=True)
class Sizes:
    """Pictures and steps. pretrained: pictures of the checkpoint; steps: of its training; train, held_out: of
    the data that it is tuned on, and of its val and test; epochs: of the tuning."""

    pretrained: int
    steps: int
    train: int
    held_out: int
    epochs: float


def measure(root: Path, scratch: Path, sizes: Sizes, seed: int, kinds: tuple[str, ...] = KINDS) -> dict:
    """Train, tune and measure in the folder `scratch`, with the parameters of the checkout `root`."""
    taught = pairs(sizes.pretrained, "train", ELSEWHERE + seed)
    figures: dict[str, Any] = {"sizes": sizes.__dict__, "seed": seed, "chance": 100.0 / sizes.held_out}
    with contextlib.chdir(scratch):
        for kind in kinds:
            folder = scratch / kind
            getattr(small_checkpoints, kind)(folder, taught, sizes.steps, seed)
            params = overridden(root, folder, sizes, "frozen", seed)
            run = runtime.start(params.threads, params.seed)
            raw, vqa = prepared(params, scratch)
            pretrain(params, run, raw, vqa, scratch / f"text-{kind}", scratch / "curves")
            figures[kind] = {"step_0": step_0(folder, params, raw)}
            for tuning in TUNINGS:
                params = overridden(root, folder, sizes, tuning, seed)
                figures[kind][tuning] = tuned(params, run, raw, vqa, scratch, kind)
    return figures


def overridden(root: Path, folder: Path, sizes: Sizes, tuning: str, seed: int) -> Params:
    """The profile smoke with the checkpoint and the tuning."""
    held_out = dict.fromkeys(sampling.SPLITS, sizes.held_out)
    return load_params(
        root / "params.yaml",
        {
            "profile": "smoke", "launch": "python", "seed": seed,
            "data.sizes": held_out | {"train": sizes.train},
            "dual_encoder.checkpoint": str(folder), "align.tuning": tuning, "align.epochs": sizes.epochs,
            "align.batch_size": 64, "align.matching_samples": 32, "align.lr_scale": 1.0,
            "align.precision": "fp32", **TUNINGS[tuning],
        },
    )  # fmt: skip


def pairs(count: int, split: str, seed: int) -> Pairs:
    """Rendered scenes with their captions."""
    rendered = [scenes.render_scene(seed, split, number) for number in range(count)]
    pictures = [np.array(Image.open(io.BytesIO(png)).convert("RGB")) for _, _, png in rendered]
    return Pairs(pictures, [texts for _, texts, _ in rendered])


def prepared(params: Params, scratch: Path) -> tuple[artifacts.Artifact, artifacts.Artifact]:
    """data/raw and data/vqa as the stages write them; made once."""
    raw, vqa = scratch / "raw", scratch / "vqa"
    config: dict[str, Any] = {"source": "scenes"}
    if not raw.exists():
        with artifacts.create(raw, "raw", config) as folder:
            config.update(scenes.build(params.data, params.seed, folder))
        of_vqa: dict[str, Any] = {}
        with artifacts.create(vqa, "vqa", of_vqa) as folder:
            made = artifacts.load(raw, "raw")
            of_vqa.update(convert(made, folder, params.convert, params.seed, params.data.max_pixels, False))
    return artifacts.load(raw, "raw"), artifacts.load(vqa, "vqa")


def tuned(
    params: Params, run: Runtime, raw: artifacts.Artifact, vqa: artifacts.Artifact, scratch: Path, kind: str
) -> dict[str, Any]:
    """Tune, and say how well pictures and texts find each other on val, before and after, and on test."""
    out, curves = scratch / f"{kind}-{params.align.tuning}", scratch / f"curves-{kind}-{params.align.tuning}"
    text = artifacts.load(scratch / f"text-{kind}", "text")
    align(params, run, raw, vqa, text, out, curves)
    tsv = (curves / "plots" / "metrics" / "val_recall_at_1.tsv").read_text(encoding="utf-8").splitlines()[1:]
    points = [(int(step), float(value)) for step, value in (line.split("\t") for line in tsv)]
    before, best = points[0][1], max(value for _, value in points)
    model = torch_session.load_clip(out)
    found = found_first(session(model, scratch / kind), raw, "test")
    card = (out / "README.md").read_text(encoding="utf-8")
    return {
        "val_before": before,
        "val_after": best,
        "kept_step": 0 if "Not tuned: no step" in card else next(s for s, value in points if value == best),
        "steps": points[-1][0],
        "said": next(line for line in card.splitlines() if "uned:" in line),
        "test": found,
    }


def step_0(folder: Path, params: Params, raw: artifacts.Artifact) -> dict[str, Any]:
    """What the checkpoint computes here and in transformers over the pictures and texts of test."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    heads = pretrained_dual_encoder.NO_HEADS
    loaded = pretrained_dual_encoder.load(params.dual_encoder, params.text.max_tokens, heads)
    ours = session(loaded.eval(), folder)
    pictures, texts = gallery(raw, "test")
    model: Any = AutoModel.from_pretrained(folder).eval()
    tokenizer, processor = AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    tokens = tokenizer(
        texts, padding="max_length", truncation=True, max_length=small_checkpoints.TOKENS, return_tensors="pt"
    )
    inputs = {"input_ids": tokens["input_ids"]}
    if model.config.model_type == "clip":
        inputs["attention_mask"] = tokens["attention_mask"]
    with torch.inference_mode():
        pixels = processor(pictures, return_tensors="pt")["pixel_values"]
        theirs = [
            torch.nn.functional.normalize(part, dim=1).numpy()
            for part in (
                model.get_image_features(pixel_values=pixels).pooler_output,
                model.get_text_features(**inputs).pooler_output,
            )
        ]
    mine = ours.embed_images(pictures, 32), ours.embed_texts(texts, 32)
    gap = max(float(np.abs(one - other).max()) for one, other in zip(mine, theirs, strict=True))
    ranks, their_ranks = (both_ranks(*embeds) for embeds in (mine, theirs))
    equal = all(np.array_equal(one, other) for one, other in zip(ranks, their_ranks, strict=True))
    return {"embedding_difference": gap, "same_ranks": equal, "test": recall(*their_ranks)}


def session(model: DualEncoder, folder: Path) -> Session:
    """Search with a model and the tokenizer in `folder`."""
    longest = model.text.config["max_tokens"]
    generation = bundle_settings.greedy_generation(longest)  # which nothing reads
    settings = BundleSettings(max_question=longest, max_text=longest, generation=generation)
    tokenizer = Tokenizer.load(folder / pretrained_dual_encoder.TOKENIZER)
    return Session(TorchEngine(None, model), tokenizer, model.vision.preprocessing, settings)


def gallery(raw: artifacts.Artifact, split: str) -> tuple[list[np.ndarray], list[str]]:
    """Pictures of a split, and the first caption of each."""
    items = Items(raw.path)
    chosen = [items[line] for line in items.split(split)]
    return [items.image(item) for item in chosen], [item["captions"][0] for item in chosen]


def found_first(asked: Session, raw: artifacts.Artifact, split: str) -> float:
    pictures, texts = gallery(raw, split)
    return recall(*both_ranks(asked.embed_images(pictures, 32), asked.embed_texts(texts, 32)))


def both_ranks(image_NE: np.ndarray, text_NE: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    similarity_NN, own_N = retrieval.similarity(image_NE, text_NE), np.arange(len(image_NE))
    return (
        retrieval.text_to_image_ranks(similarity_NN, own_N),
        retrieval.image_to_text_ranks(similarity_NN, own_N),
    )


def recall(*ranks: np.ndarray) -> float:
    """R@1, percent, mean of both directions."""
    return 100.0 * float(np.mean([np.mean(ranks_N == 1) for ranks_N in ranks]))
