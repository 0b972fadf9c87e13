"""Trained models as the training stages wrote them, in PyTorch; and a session around them.

The session around PyTorch answers through the same code as the one around ONNX: what differs is the engine
alone.
"""

from pathlib import Path
from typing import TypeVar

import torch

from sightline.core import artifacts
from sightline.core.params.dual_encoder_params import DualEncoderParams
from sightline.inference import bundle_settings
from sightline.inference.bundle_settings import GENERATION
from sightline.inference.encoding import NO_ANSWERS, SessionError, read_preprocessing
from sightline.inference.session import Session, read_tokenizers
from sightline.inference.torch_engine import TorchEngine
from sightline.models import pretrained_dual_encoder
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import ABSENT, VLM, build

WEIGHTS = "weights.safetensors"
Model = TypeVar("Model", VLM, DualEncoder)


def load_vlm(folder: Path) -> VLM:
    """The answering model of an artifact, verified, in evaluation mode. ValueError where none was trained."""
    artifact = artifacts.load(folder, "vlm")
    if artifact.config == ABSENT:
        raise SessionError(f"{folder}: {NO_ANSWERS}")
    return _filled(build(artifact.config), artifact)


def load_trained_vlm(folder: Path) -> VLM | None:
    """The same; None where none was trained."""
    return None if artifacts.load(folder, "vlm").config == ABSENT else load_vlm(folder)


def load_clip(folder: Path, mirrored_views: bool = False) -> DualEncoder:
    """The dual encoder of an artifact, verified, in evaluation mode. mirrored_views: see DualEncoder."""
    artifact = artifacts.load(folder, "clip")
    config = {**artifact.config, "mirrored_views": True} if mirrored_views else artifact.config
    return _filled(DualEncoder(config), artifact)


def untuned(params: DualEncoderParams, max_tokens: int, settings: Path, threads: int) -> Session:
    """Search with a pretrained dual encoder as it came. max_tokens: longest text; settings: as in
    `session`."""
    torch.set_num_threads(threads)
    clip = pretrained_dual_encoder.load(params, max_tokens, pretrained_dual_encoder.NO_HEADS)
    return session(None, clip.eval(), settings)


def session(vlm: VLM | None, clip: DualEncoder | None, settings: Path) -> Session:
    """Ask PyTorch models with the tokenizer and settings in the folder `settings`."""
    answering, searching = read_tokenizers(settings)
    return Session(
        TorchEngine(vlm, clip), answering, read_preprocessing(settings),
        bundle_settings.read(settings / GENERATION), text_tokenizer=searching,
    )  # fmt: skip


def _filled(model: Model, artifact: artifacts.Artifact) -> Model:
    weights = artifacts.load_weights(artifact.path / WEIGHTS)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.eval()
