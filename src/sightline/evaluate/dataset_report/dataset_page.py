"""The page of an analysis: one offline HTML file."""

from pathlib import Path

from sightline.core import templates
from sightline.data import images
from sightline.evaluate.dataset_report.dataset_card import data_name

TOP = 24  # objects listed


def write(path: Path, report: dict, examples: list[dict], drawn: dict[str, Path]) -> None:
    """Write the page; `drawn` are the PNG files by name, which are put into it."""
    base, colors = report["base"], report["colors"]
    counts, never = report["objects"]["splits"][base]["counts"], colors["never"] if colors else {}
    color_rows = colors["splits"][base].values() if colors else ()
    text = templates.render(
        "sightline.evaluate", "dataset.html", report=report, base=base, title=data_name(report),
        examples=examples,
        plots=dict.fromkeys(("pairs",)) | {name: file.read_bytes() for name, file in drawn.items()},
        questions={name: split.get("questions", 0) for name, split in report["splits"].items()},
        ranked=sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:TOP],
        most=max([1, *(n for row in color_rows for n in row.values())]),
        elsewhere=[name for name in report["order"] if never and len(never[name]) < len(never[base])],
        sides=sides, small=lambda rgb: max(rgb.shape) <= images.SMALL, url=images.picture_url,
        data_url=images.data_url,
    )  # fmt: skip
    path.write_text(text, encoding="utf-8", newline="\n")


def sides(sizes: dict) -> str:
    """Picture sizes of a split in words."""
    if not sizes["n"]:
        return "-"
    if sizes["different_sizes"] == 1:
        return "{} x {}".format(*sizes["common_sizes"][0])
    width, height = sizes["width"], sizes["height"]
    return f"{width['min']} to {width['max']} wide, {height['min']} to {height['max']} high"
