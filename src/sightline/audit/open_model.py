"""Opens a model for the white-box part of an audit: a model of transformers in PyTorch, a bundle in ONNX
Runtime. Torch; imported when called."""

from pathlib import Path

import torch

from sightline.audit.answerer import Identity
from sightline.audit.white_box import OpenModel, Rule
from sightline.core import artifacts
from sightline.inference import image_text_model, transformers_model
from sightline.inference.session import Session
from sightline.inference.torch_engine import TorchEngine
from sightline.spin.controls import RandomHeads, inverse
from sightline.spin.gate import GateRule, published

QUESTION_TOKENS = 128
RULES: dict[Rule, GateRule] = {"published": published, "random heads": RandomHeads(0), "inverse": inverse}


def of_bundle(folder: Path) -> OpenModel:
    """Raises ValueError for a damaged bundle and for one that does not answer."""
    session = Session.load(folder)
    session.require_answers()
    digest = artifacts.load(folder, "bundle").digest()
    return OpenModel(Identity(form="bundle", name=folder.resolve().name, version=digest), session)


def of_transformers(where: str, revision: str | None, identity: Identity, answer_tokens: int) -> OpenModel:
    """In float32. answer_tokens: of the longest short answer; a description may have four times as many.
    Raises ValueError for a model whose picture is no part of its prompt."""
    loaded = transformers_model.load(where, revision, torch.float32)
    opened = image_text_model.open_model(loaded, None, QUESTION_TOKENS, 4 * answer_tokens)

    def with_settings(rule: Rule, amplify: float) -> Session:
        return opened.session(TorchEngine(opened.vlm, None, spin_rule=RULES[rule], amplify=amplify))

    return OpenModel(identity, opened.session(), with_settings, opened.vlm)
