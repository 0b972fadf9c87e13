"""The measured tables of README.md and docs/reports/results.md, made from metrics/*.json and nothing else."""

import re
from pathlib import Path

from sightline.core import templates
from sightline.core.artifacts import read_json

PROFILES = ("scenes", "smoke", "flickr8k")
STAGES = (
    "download",
    "convert",
    "pretrain",
    "align",
    "finetune",
    "compress",
    "export",
    "index",
    "explain",
    "evaluate",
    "red_team",
    "report",
    "gate",
)


# Of the short table in README.md: what it is called there, and where the summary has it.
HIGHLIGHTS = (
    ("short answers right", "vqa_accuracy"),
    ("POPE adversarial, right", "pope_adversarial_accuracy"),
    ("invented among named objects (CHAIR_i), lower is better", "chair_i"),
    ("objects of the picture that a description names", "object_recall"),
    ("text finds its image first (R@1)", "text_to_image_r1"),
    ("the same, the first ten re-ranked by the decoder", "text_to_image_described_r1"),
)
# Of the row about photos, likewise.
PHOTOS = (
    ("text finds its photo first (R@1), re-ranked", "text_to_image_described_r1"),
    ("photo finds a text of its own first, re-ranked", "image_to_text_described_r1"),
    ("short answers right", "vqa_accuracy"),
    ("CIDEr-D", "cider_d"),
    ("invented among named objects", "caption_chair_i"),
)
RESULTS = Path("docs/reports/results.md")


def fill(project: Path) -> None:
    """Rewrites docs/reports/results.md, and in README.md what stands between the markers of its tables."""
    summary = read_json(project / "metrics" / "summary.json")
    trainings = read_json(project / "metrics" / "flickr8k.json")["trainings"]
    outside = project / "metrics" / "domain.json"  # of pictures that are not ours to keep
    readme = project / "README.md"
    text = put(readme.read_text(encoding="utf-8"), "results", highlights(summary), readme.name)
    text = put(text, "photos", photo_highlights(trainings), readme.name)
    whole = page(
        summary,
        read_json(outside) if outside.exists() else None,
        read_json(project / "metrics" / "cost.json"),
    )
    (project / RESULTS).write_text(whole, encoding="utf-8", newline="\n")
    readme.write_text(text, encoding="utf-8", newline="\n")


def highlights(summary: dict) -> str:
    """The six rows of README.md: the shipped variant on every split."""
    shipped = summary["quality"]["shipped"]
    splits = _ordered(shipped)
    table = row("%", *(f"`{split}`" for split in splits)) + row("---", *["---:"] * len(splits))
    for name, figure in HIGHLIGHTS:
        table += row(name, *(_cell(shipped[split].get(figure)) for split in splits))
    return table


def photo_highlights(trainings: dict[str, dict]) -> str:
    """The row of README.md about photos: the shipped variant on `test`, over the trainings of the profile."""
    shipped = [training["summary"]["quality"]["shipped"]["test"] for training in trainings.values()]
    columns = [(name, over_trainings([one[figure] for one in shipped])) for name, figure in PHOTOS]
    names, cells = zip(*columns, strict=True)
    return row("%", *names) + row("---", *["---:"] * len(names)) + row("Flickr8k", *map(interval, cells))


def over_trainings(cells: list[dict[str, float]]) -> dict[str, float]:
    """Mean value of several trainings and the mean limits of their intervals."""
    return {name: sum(cell[name] for cell in cells) / len(cells) for name in ("value", "low", "high")}


def page(summary: dict, outside: dict | None, cost: dict) -> str:
    """docs/reports/results.md: every figure of the summary, and what a rebuild costs."""
    measured = {name: cost[name] for name in PROFILES if name in cost}
    return templates.render(
        "sightline.cli", "results.md", summary=summary, outside=outside, cost=measured,
        stages=[name for name in STAGES if any(name in of["stages"] for of in measured.values())],
        splits=_ordered(summary["quality"]["shipped"]),
        on_device=_on_device,
    )  # fmt: skip


def _on_device(profile: dict) -> bool:
    """Whether a stage of the profile is known to have held an accelerator."""
    return any(stage.get("device_seconds", 0) for stage in profile["stages"].values())


def _ordered(quality: dict) -> list[str]:
    """Splits, `test` first."""
    return sorted(quality, key=lambda split: (split != "test", split))


def _cell(figure: dict | None) -> str:
    return interval(figure) if figure else "-"


def put(text: str, name: str, table: str, where: str) -> str:
    """`text` with `table` between the markers of that name; ValueError unless `where` has one such pair."""
    pattern = rf"(<!-- table: {name} -->\n).*?(<!-- end: {name} -->)"
    text, count = re.subn(pattern, lambda match: match[1] + table + match[2], text, flags=re.S)
    if count != 1:
        raise ValueError(f"{where}: expected one pair of markers `table: {name}`, found {count}")
    return text


def interval(cell: dict) -> str:
    return f"{cell['value']:.1f} [{cell['low']:.1f}, {cell['high']:.1f}]"


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"
