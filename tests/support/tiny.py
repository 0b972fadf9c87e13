"""Tiny random models, a tokenizer over twelve words, and pictures: what several areas' tests share."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.core.params.bundle_params import IndexParams
from sightline.data.shards import Items, ShardWriter
from sightline.data.tokenizer import Tokenizer
from sightline.inference import bundle_settings
from sightline.inference.bundle_settings import BundleSettings
from sightline.inference.drift import Histogram
from sightline.inference.question_detector import QuestionDetector, pair_counts

CAPTIONS = (
    "a small red ball left of a large blue cup",
    "a green cube above a small yellow ring",
    "a large blue ring below a red cube",
    "two small balls and a green cup",
)
QUESTIONS = (
    "What color is the ball?",
    "Is there a cup?",
    "Describe the image in detail.",
    "How many rings are there?",
)
OBJECTS = ("ball", "cup", "cube", "ring", "there")  # the last is what the models here say of a blue picture
MAX_ANSWER, MAX_QUESTION, MAX_TEXT = 12, 20, 24


def tokenizer() -> Tokenizer:
    return Tokenizer.train([*CAPTIONS, *QUESTIONS] * 4, 400, 1)


def question_detector() -> QuestionDetector:
    """Of the questions here; any other is out of domain."""
    known = QuestionDetector(pair_counts(QUESTIONS), 0.0)
    scores = [known.score(question) for question in QUESTIONS]
    return QuestionDetector(known.pairs, max(scores), Histogram.of(scores, max(scores)))


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 256, size=(40, 44, 3), dtype=np.uint8) for _ in range(count)]


def models(
    vocab_size: int,
    seed: int = 0,
    vision: dict | None = None,
    text: dict | None = None,
    finetune: dict | None = None,
):
    """(VLM, DualEncoder) with random weights, large enough in the vocabulary head that answers differ.
    vision: another image tower; text, finetune: leaves of these sections that are to differ."""
    import torch

    from sightline.models.decoder.cross_attention import from_clip
    from sightline.models.dual_encoder import DualEncoder

    torch.manual_seed(seed)
    clip = DualEncoder(
        {
            "vision": vision or {"tower": "small_cnn", "width": 32, "image_size": 32},
            "text": {
                "tower": "bert", "width": 32, "layers": 1, "heads": 2, "max_tokens": MAX_TEXT, **(text or {})
            },
            "embed_dim": 16, "projection_hidden": 0, "dropout": 0.0, "temperature": 0.07, "words": [6, 7, 8],
            "fusion_width": 32, "fusion_layers": 1, "vocab_size": vocab_size,
        }
    )  # fmt: skip
    vlm = from_clip(
        clip,
        {
            "width": 32, "heads": 4, "layers": 2, "joint_block": True, "positions": True, "dropout": 0.0,
            "max_answer": MAX_ANSWER, "max_question": MAX_QUESTION, "init_from_alignment": False,
            **(finetune or {}),
        },
        word_ids=[6, 7, 8],
    )  # fmt: skip
    with torch.no_grad():
        for name, tensor in [*vlm.named_parameters(), *clip.named_parameters()]:
            if tensor.ndim >= 2 and "embedding" not in name:
                tensor.mul_(2.0)
    return vlm.eval(), clip.eval()


def export(folder: Path) -> Path:
    """The fp32 graphs of `models` with their settings, in the new `folder`; the fixture `tiny_graphs` has
    them, as an export takes most of a minute."""
    from sightline.export import onnx_graphs

    folder.mkdir()
    vlm, clip = models(tokenizer().size)
    onnx_graphs.export_variants({"fp32": vlm}, clip, folder, 20, {"fp32": "a" * 64, "clip": "b" * 64})
    write_settings(folder)
    return folder


def write_settings(folder: Path) -> None:
    """Tokenizer, preprocessing and lengths beside exported graphs."""
    from sightline.core.artifacts import write_json
    from sightline.core.preprocessing import Preprocessing

    tokenizer().save(folder / "tokenizer.json")
    plain = Preprocessing.plain(32, [0.5] * 3, [0.25] * 3)
    write_json(folder / "preprocessor_config.json", plain.to_config())
    bundle_settings.write(folder / "generation.json", settings())


def settings(**changed) -> BundleSettings:
    """How a model with the tiny lengths answers: greedily, without SPIN."""
    generation = bundle_settings.greedy_generation(MAX_ANSWER)
    plain = {"max_question": MAX_QUESTION, "max_text": MAX_TEXT, "generation": generation}
    return BundleSettings(**plain | changed)


def index_params(split: str = "test", thumbnails: int = 0) -> IndexParams:
    return IndexParams(
        split=split, factory="Flat", thumbnails=thumbnails, sure_accuracy=90.0, domain_percentile=99.0
    )


def raw(folder: Path, count: int = 10, splits: tuple[str, ...] = ("test",)) -> Items:
    """A data/raw of `count` items dealt to `splits`; the one before the last has no picture, the last no
    caption."""
    with ShardWriter(folder, 10**6) as writer:
        for number, rgb in enumerate(pictures(count)):
            file = io.BytesIO()
            Image.fromarray(rgb).save(file, "PNG")
            scene = {
                "objects": [
                    {"kind": "ball", "color": "red", "size": "small", "box": [0, 0, 4, 4], "visible": 1.0}
                ],
                "tone": number % 8,
                "noise": number,
            }
            captions = [] if number == count - 1 else [f"{CAPTIONS[number % 4]} {number}"]
            split = splits[number % len(splits)]
            item = {"id": f"item-{number}", "split": split, "captions": captions, "scene": scene}
            writer.add(item, None if number == count - 2 else file.getvalue())
    return Items(folder)


def decode(session, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """logits, next_k, next_v, maps and gates of an exported decoder, all layers of each in one array; `feed`
    has its inputs in the same form."""
    stacked = {name: feed[name] for name in ("self_k", "self_v", "cross_k", "cross_v")}
    layers = {f"{name}.{layer}": part for name, parts in stacked.items() for layer, part in enumerate(parts)}
    logits, *rest = session.run(None, {name: feed[name] for name in feed if name not in stacked} | layers)
    count = len(rest) // 4
    return [logits, *(np.stack(rest[start : start + count]) for start in range(0, len(rest), count))]
