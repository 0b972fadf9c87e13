"""metrics/decoders.json as docs/reports/decoders.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates
from sightline_lab.ablations import ablation_summary as summary
from sightline_lab.ablations.arms import DEFAULT
from sightline_lab.decoders.decoder_arms import CAUSAL

RESULT, PAGE = Path("metrics/decoders.json"), Path("docs/reports/decoders.md")


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    runs = result["arms"][DEFAULT]["runs"].values()
    figures = [
        (
            summary.NAMES.get(figure, figure),
            summary.values(result, DEFAULT, figure),
            summary.values(result, CAUSAL, figure),
            summary.difference(result, CAUSAL, figure),
        )
        for figure in next(iter(runs))["figures"]
        if not figure.startswith(("text_to_image", "image_to_text", "swapped"))  # no decoder takes part
    ]
    return templates.render(
        "sightline_lab.decoders", "decoders.md", result=result, figures=figures,
        own=result["arms"][DEFAULT], causal=result["arms"][CAUSAL], spent=_spent,
    )  # fmt: skip


def _spent(arm: dict[str, Any]) -> float:
    """Core-seconds of fine-tuning, mean over the seeds."""
    seconds = [run["core_seconds"]["finetune"] for run in arm["runs"].values()]
    return sum(seconds) / len(seconds)
