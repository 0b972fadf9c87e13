"""The measured tables of README.md, made from metrics/summary.json and metrics/cost.json and nothing else."""

import re
from pathlib import Path

from sightline.artifacts import read_json

STAGES = ("download", "convert", "pretrain", "align", "finetune", "compress", "export", "index", "explain",
          "evaluate", "report", "gate")


def fill(project: Path) -> None:
    """Rewrites what stands between `<!-- table: x -->` and `<!-- end: x -->` in README.md."""
    readme = project / "README.md"
    text = readme.read_text(encoding="utf-8")
    tables = {"results": results(read_json(project / "metrics" / "summary.json")),
              "cost": costs(read_json(project / "metrics" / "cost.json"))}
    for name, table in tables.items():
        pattern = rf"(<!-- table: {name} -->\n).*?(<!-- end: {name} -->)"
        text, count = re.subn(pattern, lambda found, table=table: found[1] + table + found[2], text, flags=re.S)
        if count != 1:
            raise ValueError(f"README.md: expected one pair of markers `table: {name}`, found {count}")
    readme.write_text(text, encoding="utf-8", newline="\n")


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def costs(measured: dict) -> str:
    """Core-seconds, wall seconds and peak memory per stage, one block a profile."""
    profiles = [name for name in ("scenes", "smoke", "flickr8k") if name in measured]
    table = row("stage", *(f"{name}: core-seconds | wall, s | peak, MiB" for name in profiles))
    table += row("---", *("---: | ---: | ---:" for _ in profiles))
    for stage in STAGES:
        cells = [measured[name]["stages"].get(stage) for name in profiles]
        table += row(stage, *(
            f"{cell['core_seconds']:.0f} | {cell['wall_seconds']:.0f} | {cell['peak_mib']:.0f}" if cell else "- | - | -"
            for cell in cells))
    sums = [[sum(cell[key] for cell in measured[name]["stages"].values()) for key in ("core_seconds", "wall_seconds")]
            for name in profiles]
    table += row("**all**", *(f"**{core:.0f}** | **{wall:.0f}** | {measured[name]['disk_gib']:.1f} GiB of disk"
                              for name, (core, wall) in zip(profiles, sums, strict=True)))
    return table
