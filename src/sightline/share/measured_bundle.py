"""What a checkout knows of its bundle beyond the bundle itself, in the words of a model card."""

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.core.params import resolved
from sightline.core.params.loader import Params
from sightline.data.sources import hf
from sightline.evaluate.quality_gate import Check
from sightline.search.bundle_card import Published

DESCRIBES, ANSWERS, SEARCHES = "image-to-text", "visual-question-answering", "text-to-image-retrieval"
# figure of metrics/summary.json -> (task, metric) in the words of the Hub's model index
INDEXED = {
    "vqa_accuracy": (ANSWERS, "accuracy"),
    "pope_adversarial_f1": (ANSWERS, "f1"),
    "chair_i": (DESCRIBES, "chair_i"),
    "caption_chair_i": (DESCRIBES, "chair_i"),
    "object_recall": (DESCRIBES, "recall"),
    "caption_object_recall": (DESCRIBES, "recall"),
    "bleu_4": (DESCRIBES, "bleu"),
    "cider_d": (DESCRIBES, "cider"),
    "text_to_image_r1": (SEARCHES, "recall_at_1"),
}
LIMITS = {  # what a figure, percent, says of the model's limits
    "chair_i": "of the things that its descriptions name are not in the picture (CHAIR_i)",
    "caption_chair_i": "of the things that its descriptions name are in no caption of the picture (CHAIR_i)",
    "pope_adversarial_false_positive_rate": "of the questions about an absent thing that usually comes along "
    "are answered with yes (POPE adversarial)",
    "sure_accuracy": "of the short answers that it calls sure are right",
    "domain_warned": "of pictures drawn otherwise than its own get the out-of-domain warning",
}
LICENSES = {"Apache License": "apache-2.0", "MIT License": "mit"}  # by how their texts begin


@dataclass(frozen=True)
class MeasuredBundle:
    """A checkout and what it measured: its parameters, metrics/summary.json, the checks of its gate, the
    version of Sightline."""

    checkout: Path
    params: Params
    summary: dict[str, Any]
    checks: Sequence[Check]
    version: str

    def published(self, repo: str, license: str) -> Published:
        """What the card of the bundle says of it as the repository `repo` (OWNER/NAME)."""
        measured = self.summary["quality"]["shipped"]
        splits = [split for split in self.params.evaluate.splits if split in measured]
        quality = {split: measured[split] for split in splits}
        figures = list(dict.fromkeys(figure for split in splits for figure in quality[split]))
        rows = [
            [_words(figure), *(_interval(quality[split].get(figure)) for split in splits)]
            for figure in figures
        ]
        metadata = self._metadata(repo.split("/")[-1], license, quality)
        return Published(repo, metadata, splits, rows, self._limits(splits[0]), self._built())

    def commit(self) -> str:
        """The git commit that is checked out; empty outside of a repository."""
        return _git(self.checkout, "rev-parse", "HEAD") or ""

    def _metadata(self, name: str, license: str, quality: dict[str, Any]) -> dict[str, Any]:
        results = _results(quality, self.params.data.source)
        hub = hf.HUB.fullmatch(self.params.data.base_url)
        return {
            "license": license,
            "datasets": [hub[1]] if hub else None,
            "metrics": sorted({result.metric_type for result in results}),
            "model_name": name,
            "eval_results": results,
        }

    def _limits(self, split: str) -> list[str]:
        """What the figures of a split say of the model's limits, and bounds that it did not keep."""
        quality, edges = self.summary["quality"]["shipped"][split], self.summary["edges"][split]
        measured = quality | edges
        said = [
            f"{_interval(measured[figure])} % {words}, on `{split}`."
            for figure, words in LIMITS.items()
            if figure in measured
        ]
        return said + [f"Quality gate: {check.line()}." for check in self.checks if not check.passed]

    def _built(self) -> list[str]:
        params = (self.checkout / resolved.FILE).read_bytes()
        size = self.summary["cost"]["shipped"]["bytes"] / 1e6
        return [
            f"Sightline {self.version}, profile `{self.params.profile}`; `dvc repro` in the repository that "
            "built it rebuilds it.",
            f"{_commit(self.checkout)}; sha256 of `{resolved.FILE}`: `{hashlib.sha256(params).hexdigest()}`.",
            f"{size:.2f} MB of graphs. ONNX against PyTorch: {_parity(self.summary['parity'])}.",
        ]


def license_of(checkout: Path) -> str:
    """The Hub's name of the license in the checkout's file LICENSE; `other` where there is none that is
    known."""
    path = checkout / "LICENSE"
    head = path.read_text(encoding="utf-8", errors="replace")[:400] if path.is_file() else ""
    return next((name for words, name in LICENSES.items() if words in head), "other")


def _results(quality: dict[str, Any], source: str) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=task, dataset_type=source, dataset_name=source, dataset_split=split, metric_type=metric,
            metric_name=f"{_words(figure)}, percent (95 % interval {cell['low']:.1f} to {cell['high']:.1f})",
            metric_value=cell["value"],
        )
        for split, cells in quality.items()
        for figure, (task, metric) in INDEXED.items()
        if (cell := cells.get(figure))
    ]  # fmt: skip


def _words(figure: str) -> str:
    return figure.replace("_", " ")


def _interval(cell: dict[str, float] | None) -> str:
    return f"{cell['value']:.1f} [{cell['low']:.1f}, {cell['high']:.1f}]" if cell else "-"


def _parity(parity: dict[str, Any]) -> str:
    difference, items = parity["max_logit_difference"], parity["items"]
    if difference is None:
        return "no answering model to compare"
    return f"largest logit difference {difference:.1e} over {items:,} items"


def _commit(checkout: Path) -> str:
    """Which commit of which state the checkout is at."""
    head = _git(checkout, "rev-parse", "HEAD")
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    if head is None or changed is None:
        return "No git commit: it was built outside a repository"
    return f"git commit `{head}`" + (", with changes that are not committed" if changed else "")


def _git(checkout: Path, *words: str) -> str | None:
    """What git says; None where it fails, or is not there."""
    command = ["git", *words]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
