"""metrics/flickr8k.json as docs/reports/flickr8k.md: trainings of the photo profile, a seed each; beside them
those whose text tower holds a pretrained encoder."""

from pathlib import Path
from typing import Any

from sightline.cli import readme_tables
from sightline.core import artifacts, templates
from sightline.core.params.loader import load_params
from sightline_lab.ablations.ablation_summary import Spread

RESULT, PAGE = Path("metrics/flickr8k.json"), Path("docs/reports/flickr8k.md")
VARIANTS = ("fp32", "shipped")
SPLIT = "test"
OWN_TEXT, PRETRAINED_TEXT = "trainings", "pretrained_text"  # the trainings of metrics/flickr8k.json
GROUPS = {"idf_bag": OWN_TEXT, "hf_idf_bag": PRETRAINED_TEXT}  # by text.tower
# What the page calls a figure, and its name in metrics/summary.json.
FIGURES = (
    ("text to image R@1, by embeddings", "text_to_image_r1"),
    ("the same, re-ranked by the fusion head", "text_to_image_reranked_r1"),
    ("the first, re-ranked by the decoder", "text_to_image_described_r1"),
    ("image to text R@1, by embeddings", "image_to_text_r1"),
    ("the same, re-ranked by the fusion head", "image_to_text_reranked_r1"),
    ("the first, re-ranked by the decoder", "image_to_text_described_r1"),
    ("BLEU-4", "bleu_4"),
    ("CIDEr-D", "cider_d"),
    ("caption-CHAIR_i, lower is better", "caption_chair_i"),
    ("objects of the captions that a description names", "caption_object_recall"),
    ("POPE adversarial, right", "pope_adversarial_accuracy"),
)


class PhotoResultsError(ValueError):
    """A checkout whose figures do not belong on the page."""


def training(checkout: Path) -> tuple[str, int, dict[str, Any]]:
    """Whether its text tower is pretrained, seed, and summary and cost of the training in a checkout of the
    profile flickr8k. Raises PhotoResultsError for another profile or text tower, ArtifactError where a file
    is absent or damaged."""
    chosen = load_params(checkout / "params.yaml")
    if chosen.profile != "flickr8k":
        raise PhotoResultsError(
            f"{checkout}: holds a model of the profile {chosen.profile}, expected flickr8k; "
            "run `dvc exp run -S profile=flickr8k` there"
        )
    summary = artifacts.read_json(checkout / "metrics" / "summary.json")
    cost = artifacts.read_json(checkout / ".resume" / "cost" / "flickr8k.json")
    if chosen.text.tower not in GROUPS:
        raise PhotoResultsError(
            f"{checkout}: text.tower is {chosen.text.tower}, but the page has {' and '.join(GROUPS)}"
        )
    return GROUPS[chosen.text.tower], chosen.seed, {"summary": summary, "cost": cost}


def merged(result: dict[str, Any], text: str, seed: int, training: dict[str, Any]) -> dict[str, Any]:
    """The JSON of all trainings with that of one seed, in the order of the seeds."""
    trainings = result.get(text, {}) | {str(seed): training}
    in_order = {name: trainings[name] for name in sorted(trainings, key=int)}
    return {OWN_TEXT: {}, **result, text: in_order}


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown. Raises PhotoResultsError without a training of the profile as it is."""
    own, pretrained = result[OWN_TEXT], result.get(PRETRAINED_TEXT, {})
    if not own:
        raise PhotoResultsError("no training of the profile with its own text tower: add a checkout of one")
    summaries = [training["summary"] for training in own.values()]
    return templates.render(
        "sightline_lab.photos", "flickr8k.md", seeds=list(own), summaries=summaries,
        figures=_figures(summaries), answers=_answers(summaries),
        spin=_paired(summaries, "spin_on_minus_off"), lost=_lost(summaries),
        stages=_stages([training["cost"] for training in own.values()]), pretrained_seeds=list(pretrained),
        pretrained_figures=_figures([training["summary"] for training in pretrained.values()]),
        pretrained_stages=_stages([training["cost"] for training in pretrained.values()]),
    )  # fmt: skip


def _figures(summaries: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row a figure: its name, and its cell of every variant; nothing without a training."""
    if not summaries:
        return []
    return [(name, *(figure(summaries, key, variant) for variant in VARIANTS)) for name, key in FIGURES]


def figure(summaries: list[dict[str, Any]], key: str, variant: str) -> str:
    """A cell: the mean of the trainings, the mean limits of their intervals, and their spread."""
    cells = [summary["quality"][variant][SPLIT][key] for summary in summaries]
    return _cell(cells)


def _cell(cells: list[dict[str, float]], sign: str = "") -> str:
    mean = readme_tables.over_trainings(cells)
    text = f"{mean['value']:{sign}.1f} [{mean['low']:{sign}.1f}, {mean['high']:{sign}.1f}]"
    return text if len(cells) == 1 else f"{text} ± {Spread([cell['value'] for cell in cells]).deviation:.1f}"


def _answers(summaries: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """A row a type of question: its name, n, and mean accuracies of majority, blind, fp32 and shipped."""
    rows = []
    for name, cells in summaries[0]["answers"].items():
        columns = [
            [one["answers"][name][column] for one in summaries] for column in ("majority", "blind", *VARIANTS)
        ]
        rows.append((name, cells["n"], *(Spread(column).mean for column in columns)))
    return rows


def _paired(summaries: list[dict[str, Any]], part: str) -> list[tuple[str, str]]:
    """Figure and cell of a paired difference on test."""
    names = summaries[0][part][SPLIT]
    return [(name, _cell([summary[part][SPLIT][name] for summary in summaries], "+")) for name in names]


def _lost(summaries: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Figure, and the largest one-sided 95 % bound of what the shipped variant loses in a training."""
    return [
        (name, max(summary["loss_bounds"][name]["loss_bound"] for summary in summaries))
        for name, cell in summaries[0]["loss_bounds"].items()
        if cell["n"]
    ]


def _stages(costs: list[dict[str, Any]]) -> list[tuple[str, float, int]]:
    """Stage, core-seconds of the mean training, and the largest peak of memory in MiB. A stage that a later
    training shared with the first was measured there."""
    names = list(dict.fromkeys(name for cost in costs for name in cost))
    measured = {name: [cost[name] for cost in costs if name in cost] for name in names}
    return [
        (
            name,
            Spread([cell["core_seconds"] for cell in cells]).mean,
            max(cell["peak_mib"] for cell in cells),
        )
        for name, cells in measured.items()
    ]
