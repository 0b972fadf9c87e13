"""The measured tables of README.md and docs/reports/results.md, made from metrics/*.json and nothing else."""

import re
from pathlib import Path

from sightline.core.artifacts import read_json

VARIANTS = ("fp32", "shipped")
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
    ("the same, re-ranked by the decoder", "text_to_image_described_r1"),
)
RESULTS = Path("docs/reports/results.md")


def fill(project: Path) -> None:
    """Rewrites docs/reports/results.md, and in README.md what stands between the markers of its table."""
    summary = read_json(project / "metrics" / "summary.json")
    outside = project / "metrics" / "domain.json"  # of pictures that are not ours to keep
    readme = project / "README.md"
    text = put(readme.read_text(encoding="utf-8"), "results", highlights(summary), readme.name)
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


def page(summary: dict, outside: dict | None, cost: dict) -> str:
    """docs/reports/results.md: every figure of the summary, and what a rebuild costs."""
    return f"""# Results

Written by `make docs` from [metrics/summary.json](../../metrics/summary.json) and \
[metrics/cost.json](../../metrics/cost.json). Default profile ([scenes](../guide/scenes.md)); held-out test \
splits; brackets: 95 % intervals, bootstrap clustered by image.

{results(summary, outside)}
Search by embeddings is `r1`. `reranked` puts the first ten in the order of the fusion head. `described` \
puts the first five of those in the order in which the answering model would describe a picture in the \
query's words, which costs a decoder pass a pair.

## What a rebuild costs

Measured by the stages themselves.

{costs(cost)}"""


def _ordered(quality: dict) -> list[str]:
    """Splits, `test` first."""
    return sorted(quality, key=lambda split: (split != "test", split))


def _cell(figure: dict | None) -> str:
    return interval(figure) if figure else "-"


def put(text: str, name: str, table: str, where: str) -> str:
    """`text` with `table` between the markers of that name; ValueError unless `where` has one such pair."""
    pattern = rf"(<!-- table: {name} -->\n).*?(<!-- end: {name} -->)"
    text, count = re.subn(pattern, lambda found: found[1] + table + found[2], text, flags=re.S)
    if count != 1:
        raise ValueError(f"{where}: expected one pair of markers `table: {name}`, found {count}")
    return text


def results(summary: dict, outside: dict | None) -> str:
    """Answers by type beside their baselines, then the figures of each split, fp32 and shipped, SPIN off;
    `outside`: what `sightline out-of-domain` found."""
    table = row("`test`, accuracy %", "n", "majority", "blind", "fp32", "shipped", "ceiling")
    table += row("---", *["---:"] * 6)
    for name, cells in summary["answers"].items():
        columns = ("majority", "blind", "fp32", "shipped", "ceiling")
        table += row(name, str(cells["n"]), *(f"{cells[column]:.1f}" for column in columns))
    splits = _ordered(summary["quality"]["shipped"])
    table += "\n" + row("figure, %", *(f"{split}: {v}" for split in splits for v in ("fp32", "shipped")))
    table += row("---", *["---:"] * (2 * len(splits)))
    for name in summary["quality"]["shipped"][splits[0]]:
        found = [summary["quality"][variant][split].get(name) for split in splits for variant in VARIANTS]
        table += row(name.replace("_", " "), *(_cell(cell) for cell in found))
    table += "\nSPIN on minus off, shipped variant, points (paired):\n\n"
    table += row("figure", *splits) + row("---", *["---:"] * len(splits))
    for name in summary["spin_on_minus_off"][splits[0]]:
        found = [summary["spin_on_minus_off"][split].get(name) for split in splits]
        table += row(name.replace("_", " "), *(_cell(cell) for cell in found))
    table += edges(summary["edges"], splits)
    if outside:
        table += (
            f"\nPictures from outside, {outside['pictures']:,} of {outside['name']}: "
            f"{interval(outside['warned'])} % get the out-of-domain warning, and "
            f"{interval(outside['false_alarm'])} % of {outside['own_pictures']:,} test pictures; "
            f"AUROC {interval(outside['auroc'])} %.\n"
        )
    table += bounds(summary.get("loss_bounds", {}))
    size = {name: cost["bytes"] / 1e6 for name, cost in summary["cost"].items()}
    parity = summary["parity"]
    return table + (
        f"\nShipped: {summary['shipped_variant']}, {size['shipped']:.2f} MB "
        f"against {size['fp32']:.2f} MB of fp32. "
        f"ONNX fp32 against PyTorch: largest logit difference {parity['max_logit_difference']:.1e} "
        f"over {parity['items']:,} items.\n"
    )


def edges(figures: dict, splits: list[str]) -> str:
    """Calibration, abstention and the out-of-domain warning of the shipped variant."""
    table = "\nKnowing what it does not know, shipped variant, %:\n\n"
    table += row("figure", *splits) + row("---", *["---:"] * len(splits))
    for name in figures[splits[0]]:
        found = [figures[split].get(name) for split in splits]
        table += row(name.replace("_", " "), *(_cell(cell) for cell in found))
    return table


def bounds(figures: dict) -> str:
    """What the shipped variant can have lost against fp32; empty where the two were not compared."""
    if not figures:
        return ""
    table = "\nShipped against fp32, all splits, points (paired, one-sided 95 %, clustered by image):\n\n"
    table += row("figure", "difference", "loss below", "n") + row("---", *["---:"] * 3)
    for name, cell in figures.items():
        cells = (f"{cell['value']:+.2f}", f"{cell['loss_bound']:.2f}", f"{cell['n']:,}")
        table += row(name.replace("_", " "), *cells)
    return table


def interval(cell: dict) -> str:
    return f"{cell['value']:.1f} [{cell['low']:.1f}, {cell['high']:.1f}]"


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def costs(measured: dict) -> str:
    """Core-seconds, wall seconds and peak memory per stage, one block a profile."""
    profiles = [name for name in ("scenes", "smoke", "flickr8k") if name in measured]
    table = row("stage", *(f"{name}: core-seconds | wall, s | peak, MiB" for name in profiles))
    table += row("---", *("---: | ---: | ---:" for _ in profiles))
    for stage in STAGES:
        cells = [measured[name]["stages"].get(stage) for name in profiles]
        table += row(
            stage,
            *(
                f"{cell['core_seconds']:.0f} | {cell['wall_seconds']:.0f} | {cell['peak_mib']:.0f}"
                if cell
                else "- | - | -"
                for cell in cells
            ),
        )
    sums = [
        [
            sum(cell[key] for cell in measured[name]["stages"].values())
            for key in ("core_seconds", "wall_seconds")
        ]
        for name in profiles
    ]
    table += row(
        "**all**",
        *(
            f"**{core:.0f}** | **{wall:.0f}** | {measured[name]['disk_gib']:.1f} GiB of disk"
            for name, (core, wall) in zip(profiles, sums, strict=True)
        ),
    )
    return table
