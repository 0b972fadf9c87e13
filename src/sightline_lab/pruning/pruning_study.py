"""Criteria of pruning at equal size: quality and hallucination against multiply-accumulates and bytes.

Structured cuts leave a smaller dense model; unstructured magnitude (torch.nn.utils.prune) zeroes as many
weights of the same layers, which saves nothing on ordinary hardware and shows the cost of structure. All are
measured right after the cut, and the structured ones again after the recovery that the compress stage gives.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from sightline.compress import model_cost, structured_pruning
from sightline.compress.prune_and_recover import importance, recovery
from sightline.core import artifacts, runtime
from sightline.core.params.generation import SPIN_OFF
from sightline.core.params.loader import Params
from sightline.core.runtime import Runtime
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.data.vqa_data import VqaData
from sightline.evaluate import split_contents
from sightline.evaluate.metrics import chair
from sightline.inference import calibration_data, torch_session
from sightline.inference.bundle_settings import greedy_generation
from sightline.models.vlm import VLM
from sightline.train.finetune import Phase, train_vqa
from sightline.train.tasks.vqa import VqaTask

CRITERIA = ("magnitude", "taylor", "spin")
RATIOS = (0.25, 0.5)
DESCRIBED = 200  # pictures of val


class Study:
    """Everything the comparison needs, read once from the built project at `root`."""

    def __init__(self, root: Path, params: Params, run: Runtime, count: int):
        self.params, self.run = params, run
        self.raw = artifacts.load(root / "data/raw", "raw")
        self.vqa = artifacts.load(root / "data/vqa", "vqa")
        self.model = artifacts.load(root / "models/vlm", "vlm")
        self.whole, self.settings = torch_session.load_vlm(self.model.path), root / "models/onnx"
        self.data = VqaData.read(self.raw, self.vqa, self.model.path / "tokenizer.json")
        items, triples, pixels = self.data.items, self.data.triples, params.data.max_pixels
        self.short_questions = calibration_data.read(items, triples["val"], count, pixels, short=True)
        self.split = split_contents.read(self.raw.path, self.vqa.path, "val", DESCRIBED)
        self.lexicon = split_contents.lexicon(self.vqa.path)

    def rows(self, scratch: Path, echo: Callable[[str], None]) -> Iterator[dict]:
        """One row per model: criterion, ratio, stage (whole, cut or recovered), size, cost and quality."""
        yield self.measure(self.whole, "none", 0.0, "whole")
        phase = self.recovery("pruning")
        common = (self.data, phase.section, self.run, self.params.seed, phase.epochs)
        scores = {name: importance(VqaTask(self.whole, *common), name, self.params) for name in CRITERIA}
        for ratio in RATIOS:
            for name in CRITERIA:
                echo(f"{name}, {ratio:g}")
                smaller = structured_pruning.prune(self.whole, scores[name], ratio, ratio)
                yield self.measure(smaller, name, ratio, "cut")
                self.recover(smaller, f"pruning-{name}-{ratio:g}", scratch / f"{name}-{ratio:g}")
                yield self.measure(smaller, name, ratio, "recovered")
            removed = model_cost.parameters(self.whole) - model_cost.parameters(smaller)
            yield self.measure(unstructured(self.whole, removed), "unstructured", ratio, "cut")

    def recover(self, smaller: VLM, name: str, curves: Path) -> None:
        """What the compress stage does after its cut, in place."""
        with train_vqa(smaller, self.recovery(name), self.params, self.run, self.data, curves):
            pass

    def recovery(self, name: str) -> Phase:
        return recovery(name, self.params, self.whole, self.model.digest())

    def measure(self, vlm: VLM, criterion: str, ratio: float, stage: str) -> dict:
        """Accuracy of short answers, CHAIR_i and recall of descriptions, in percent, on val."""
        session = torch_session.session(vlm.eval(), None, self.settings)
        pictures = list(self.split.rgb())
        answers = session.answer(
            pictures, [DESCRIBE] * len(pictures),
            greedy_generation(self.params.generation.max_tokens), SPIN_OFF, batch_size=calibration_data.BATCH,
        )  # fmt: skip
        pairs = zip(answers, self.split.present, strict=True)
        per_item = [chair.item_counts(answer.text, present, self.lexicon) for answer, present in pairs]
        total = {key: np.array(sum(counts[key] for counts in per_item)) for key in per_item[0]}
        return {
            "criterion": criterion, "ratio": ratio, "stage": stage, "parameters": model_cost.parameters(vlm),
            "bytes": 4 * model_cost.parameters(vlm), "macs": model_cost.macs(vlm),
            "accuracy": round(calibration_data.accuracy(session, self.short_questions), 2),
            "chair_i": round(float(chair.FIGURES["chair_i"](total)), 2),
            "recall": round(float(chair.FIGURES["recall"](total)), 2),
        }  # fmt: skip


def unstructured(vlm: VLM, removed: int) -> VLM:
    """The model with that many of the smallest weights of the prunable layers set to zero, all layers
    together (Han et al. 2015, arXiv 1506.02626)."""
    twin = copy.deepcopy(vlm)
    layers = [
        (layer, "weight")
        for module in structured_pruning.prunable(twin).values()
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
    ]
    removed = min(removed, sum(layer.weight.numel() for layer, _ in layers))
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=removed)
    for layer, name in layers:
        prune.remove(layer, name)
    return twin


def compare(root: Path, params: Params, count: int, echo: Callable[[str], None]) -> dict:
    """The whole study as one JSON object."""
    import tempfile

    torch.set_num_threads(params.threads)
    run = runtime.start(params.threads, params.seed)
    study = Study(root, params, run, count)
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(study.rows(Path(scratch), echo))
    return {
        "profile": params.profile, "questions": len(study.short_questions.questions),
        "described": len(study.split.lines), "recovery_epochs": params.compress.recovery_epochs,
        "distill": params.compress.distill, "rows": rows,
    }  # fmt: skip
