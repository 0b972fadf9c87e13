"""What an image tower must do in the pipeline, tried on each with random weights: forward, backward, the
exported graph against PyTorch, an explanation.

Weights would change no shape and no operation; the smallest architecture of a family stands for it, of
Hugging Face's a configuration of two layers, as their sizes are known to the hub alone.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from sightline.core import progress, runtime
from sightline.core.params.generation import SPIN_OFF
from sightline.core.preprocessing import Preprocessing
from sightline.data.tokenizer import Tokenizer
from sightline.explain import match
from sightline.explain.target import ExplainedModel
from sightline.export import onnx_graphs
from sightline.inference.bundle_settings import BundleSettings, greedy_generation
from sightline.inference.session import Session
from sightline.inference.torch_engine import TorchEngine
from sightline.models.dual_encoder import DualEncoder

WORKERS = 2  # exporting is slow Python, on one core each
OPSET = 20  # export.opset of params.yaml
TEXT = "a red ball"
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8}
WIDE, NARROW = {"intermediate_size": 128}, {"mlp_ratio": 2}
# library, family, architecture, sizes
TOWERS: tuple[tuple[str, str, str, tuple[int, int, int]], ...] = (
    ("hf", "CLIP", "clip_vision_model", (32, 48, 80)),
    ("hf", "SigLIP", "siglip_vision_model", (32, 48, 80)),
    ("hf", "DINOv2", "dinov2", (32, 48, 80)),
    ("hf", "DINOv2, registers", "dinov2_with_registers", (32, 48, 80)),
    ("hf", "ViT", "vit", (32, 48, 80)),
    ("timm", "ConvNeXt", "convnext_atto", (64, 96, 128)),
    ("timm", "EfficientNet", "tf_efficientnet_lite0", (64, 96, 128)),
    ("timm", "ViT", "vit_tiny_patch16_224", (64, 96, 128)),
    ("timm", "DINOv2", "vit_small_patch14_reg4_dinov2", (70, 98, 126)),
    ("torchvision", "SqueezeNet", "squeezenet1_0", (64, 96, 128)),
    ("torchvision", "ResNet", "resnet18", (64, 96, 128)),
    ("timm", "Swin", "swin_tiny_patch4_window7_224", (64, 96, 128)),
    ("timm", "SigLIP", "vit_base_patch16_siglip_224", (64, 96, 128)),
)
CASES = [(library, family, name, size) for library, family, name, sizes in TOWERS for size in sizes]


def run() -> Iterator[dict[str, Any]]:
    """A row for each tower and size: library, family, name, size, millions of parameters, whether all
    gradients are finite, the largest difference between graph and PyTorch as a share of the largest value,
    and whether the explanation tells one patch from another."""
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        yield from progress.track(pool.map(_row, CASES), "towers", len(CASES))


def _row(case: tuple[str, str, str, int]) -> dict[str, Any]:
    runtime.watch_launcher()
    torch.set_num_threads(1)
    library, family, name, size = case
    figures = measure(config(library, name, size), Tokenizer.train([TEXT] * 8, 100, 1))
    return {"library": library, "family": family, "name": name, "size": size} | figures


def config(library: str, name: str, size: int) -> dict[str, Any]:
    """What the tower is built from, without weights."""
    made: dict[str, Any] = {"tower": library, "name": name, "image_size": size, "checkpoint": "none"}
    if library != "hf":
        return made | {"preprocessing": "published"}
    more = NARROW if name.startswith("dinov2") else WIDE
    plain = Preprocessing.plain(size, [0.5] * 3, [0.5] * 3)
    return made | {
        "architecture": {"model_type": name, "image_size": size, **SMALL, **more},
        "preprocessing": plain.to_config(),
    }


def measure(vision: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    """The figures of one tower in a dual encoder."""
    torch.manual_seed(0)
    clip = DualEncoder(
        {
            "vision": vision, "vocab_size": tokenizer.size, "embed_dim": 16, "projection_hidden": 0,
            "text": {"tower": "bert", "width": 16, "layers": 1, "heads": 2, "max_tokens": 12},
            "dropout": 0.0, "temperature": 0.07, "words": ["ball"], "fusion_width": 16, "fusion_layers": 1,
        }
    )  # fmt: skip
    tower, size = clip.vision, vision["image_size"]
    tokens_BPD, embeds_BE = clip.encode_image(torch.randn(2, 3, size, size))
    (tokens_BPD.square().mean() + embeds_BE.sum()).backward()
    gradients = [weight.grad for weight in tower.parameters() if weight.grad is not None]
    figures = {
        "parameters": round(sum(weight.numel() for weight in tower.parameters()) / 1e6, 2),
        "tokens": f"{tower.grid[0]} x {tower.grid[1]}" + (" + 1" if tower.num_prefix_tokens else ""),
        "backward": bool(gradients) and all(bool(grad.isfinite().all()) for grad in gradients),
    }
    clip.zero_grad()
    return figures | {"parity": _parity(clip.eval(), size), "explanation": _explained(clip, tokenizer)}


def _parity(clip: DualEncoder, size: int) -> float:
    """Of tokens and embedding, for another number of pictures than the graph was traced with."""
    pixels_BCYX = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = clip.encode_image(pixels_BCYX)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "image_encoder.onnx"
        onnx_graphs.export_graph("image_encoder", None, clip, path, OPSET)
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = session.run(None, {"pixels": pixels_BCYX.numpy()})
    return max(
        float(np.abs(array - wanted.numpy()).max() / np.abs(wanted.numpy()).max())
        for array, wanted in zip(found, expected, strict=True)
    )


def _explained(clip: DualEncoder, tokenizer: Tokenizer) -> bool:
    """Whether hiding one part of a picture costs its similarity to a text more than hiding another."""
    engine = TorchEngine(None, clip)
    engine.config["grid"] = list(clip.vision.grid)
    settings = BundleSettings(max_question=12, max_text=12, generation=greedy_generation(12))
    session = Session(engine, tokenizer, clip.vision.preprocessing, settings)
    rgb = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    heat = match.explain(ExplainedModel(session, SPIN_OFF), rgb, TEXT).words[0]
    return bool(np.isfinite(heat.scores).all() and np.ptp(heat.scores) > 0)
