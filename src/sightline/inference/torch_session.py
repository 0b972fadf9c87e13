"""Trained models as the training stages wrote them, in PyTorch; and a session around them.

The session around PyTorch answers through the same code as the one around ONNX: what differs is the engine
alone.
"""

from pathlib import Path
from typing import TypeVar

import torch

from sightline.core import artifacts
from sightline.data.tokenizer import Tokenizer
from sightline.inference import bundle_settings
from sightline.inference.bundle_settings import GENERATION
from sightline.inference.encoding import NO_ANSWERS, SessionError, read_preprocessing
from sightline.inference.session import TOKENIZER, Session
from sightline.inference.torch_engine import TorchEngine
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import ABSENT, VLM

WEIGHTS = "weights.safetensors"
Model = TypeVar("Model", VLM, DualEncoder)


def load_vlm(folder: Path) -> VLM:
    """The answering model of an artifact, verified, in evaluation mode. ValueError where none was trained."""
    artifact = artifacts.load(folder, "vlm")
    if artifact.config == ABSENT:
        raise SessionError(f"{folder}: {NO_ANSWERS}")
    return _filled(VLM(artifact.config), artifact)


def load_trained_vlm(folder: Path) -> VLM | None:
    """The same; None where none was trained."""
    return None if artifacts.load(folder, "vlm").config == ABSENT else load_vlm(folder)


def load_clip(folder: Path) -> DualEncoder:
    """The dual encoder of an artifact, verified, in evaluation mode."""
    artifact = artifacts.load(folder, "clip")
    return _filled(DualEncoder(artifact.config), artifact)


def session(vlm: VLM | None, clip: DualEncoder | None, settings: Path) -> Session:
    """Ask PyTorch models with the tokenizer and settings in the folder `settings`."""
    return Session(
        TorchEngine(vlm, clip), Tokenizer.load(settings / TOKENIZER),
        read_preprocessing(settings), bundle_settings.read(settings / GENERATION),
    )  # fmt: skip


def _filled(model: Model, artifact: artifacts.Artifact) -> Model:
    weights = artifacts.load_weights(artifact.path / WEIGHTS)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.eval()
