"""metrics/decoders.json as docs/reports/decoders.md."""

from pathlib import Path
from typing import Any

from sightline.core import artifacts, templates
from sightline_lab.ablations import ablation_summary as summary
from sightline_lab.ablations.arms import DEFAULT
from sightline_lab.decoders.decoder_arms import CAUSAL

RESULT, PAGE = Path("metrics/decoders.json"), Path("docs/reports/decoders.md")


def merge(path: Path, result: dict[str, Any]) -> None:
    """Put the result of one profile into the JSON of all."""
    kept = artifacts.read_json(path)["profiles"] if path.is_file() else {}
    artifacts.write_json(path, {"profiles": kept | {result["profile"]: result}})


def page(results: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    return templates.render(
        "sightline_lab.decoders", "decoders.md", results=list(results["profiles"].values()),
        figures=_figures, spent=_spent, own=DEFAULT, causal=CAUSAL,
    )  # fmt: skip


def _figures(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    """A row a figure: its name, our own decoder's values, the causal one's, and their difference."""
    runs = result["arms"][DEFAULT]["runs"].values()
    return [
        (
            summary.NAMES.get(figure, figure),
            summary.values(result, DEFAULT, figure),
            summary.values(result, CAUSAL, figure),
            summary.difference(result, CAUSAL, figure),
        )
        for figure in next(iter(runs))["figures"]
        if not figure.startswith(("text_to_image", "image_to_text", "swapped"))  # no decoder takes part
    ]


def _spent(arm: dict[str, Any]) -> float:
    """Core-seconds of fine-tuning, mean over the seeds."""
    seconds = [run["core_seconds"]["finetune"] for run in arm["runs"].values()]
    return sum(seconds) / len(seconds)
