"""docs/reports/explanations.md and its picture, from metrics/faithfulness.json; and the page of photos, which
has no picture, since photos are not ours to publish."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sightline.core import artifacts, templates
from sightline.core.plotting import INK, draw_box, draw_picture, new_figure, plain, save
from sightline.data.shards import Items
from sightline.explain import faithfulness_benchmark
from sightline.explain.explained_items import DISPLAY_SIDE
from sightline.explain.heatmap_figures import draw_overlay
from sightline.explain.target import ExplainedModel

CASES = 5  # cases in the picture
P_BOUND = 0.01  # a gain at deletion is real below this p
SAME = 0.5  # above this rank correlation a map barely changed
POINTS = 0.9  # the pointing game that a method should reach
COLUMNS = {
    "pointing": "pointing game",
    "mass_inside": "mass in box",
    "deletion_mean": "deletion, mean",
    "deletion_blur": "deletion, blur",
    "insertion_mean": "insertion, mean",
    "insertion_blur": "insertion, blur",
    "deletion_p": "p",
    "one_pixel_shift": "one-pixel shift",
    "randomised decoder": "decoder randomised",
    "randomised decoder and image tower": "all randomised",
}


def page(result: dict) -> str:
    """The page as Markdown: every method a row, the best pointing game first."""
    methods = sorted(result["methods"].items(), key=lambda entry: -entry[1]["pointing"])
    explaining = {name: row for name, row in methods if name not in faithfulness_benchmark.CONTROLS}
    return templates.render(
        "sightline_lab.faithfulness", "explanations.md", result=result, methods=methods, columns=COLUMNS,
        explaining=list(explaining.values()), shortfalls=_shortfalls(explaining), number=_number,
    )  # fmt: skip


def photo_page(result: dict) -> str:
    """The page of a data set without boxes, as Markdown: intervals in brackets, the most faithful deletion
    first."""
    methods = sorted(result["methods"].items(), key=lambda entry: entry[1]["deletion_mean"])
    return templates.render(
        "sightline_lab.faithfulness", "explanations_photos.md", result=result, methods=dict(methods),
        columns={name: title for name, title in COLUMNS.items() if name != "deletion_p"},
        explaining=[row for name, row in methods if name not in faithfulness_benchmark.CONTROLS],
        with_interval=_with_interval, number=_number,
    )  # fmt: skip


def _with_interval(row: dict, name: str) -> str:
    low, high = row["pointing_interval"] if name == "pointing" else row["intervals"][name]
    return f"{row[name]:.3f} [{low:.2f}, {high:.2f}]"


def _number(value: float | None) -> str:
    return "" if value is None else "< 0.001" if 0 < value < 0.001 else f"{value:.3f}"


def _shortfalls(methods: dict[str, dict]) -> list[str]:
    """A line for every method and check that it does not pass."""
    lines = []
    for name, row in methods.items():
        if row["pointing"] < POINTS:
            lines.append(
                f"`{name}` points at the object in {100 * row['pointing']:.0f} % of the questions, "
                f"not in {100 * POINTS:.0f} %."
            )
        if row["deletion_p"] >= P_BOUND:
            lines.append(f"`{name}` does not beat `random` at deletion (p = {row['deletion_p']:.3f}).")
        for key in ("randomised decoder", "randomised decoder and image tower"):
            if row[key] > SAME:
                lines.append(f"`{name}` keeps a rank correlation of {row[key]:.2f} with {key} weights.")
    return lines or ["Nothing."]


def write(
    here: Path, subject: ExplainedModel, cases: list[faithfulness_benchmark.LocatedAnswer], colormap: str
) -> None:
    """Page and picture of the checkout `here`; `cases` are the rows of the picture."""
    result = artifacts.read_json(here / "metrics" / "faithfulness.json")
    (here / "docs" / "reports" / "explanations.md").write_text(page(result), encoding="utf-8", newline="\n")
    items = Items(here / "data" / "raw")
    names = sorted(result["methods"], key=lambda name: -result["methods"][name]["pointing"])
    figure = new_figure(1.5 * (len(names) + 1), 1.72 * len(cases) + 0.6)
    grid = figure.add_gridspec(
        len(cases), len(names) + 1, left=0.01, right=0.99, top=1 - 0.35 / figure.get_figheight(),
        bottom=0.25 / figure.get_figheight(), wspace=0.06, hspace=0.22,
    )  # fmt: skip
    for row, labelled in enumerate(cases):
        axes = figure.add_subplot(grid[row, 0])
        displayed, size = items.displayed(labelled.item, DISPLAY_SIDE), labelled.answer.rgb.shape[:2]
        draw_picture(axes, displayed, size)
        caption = plain(f"{labelled.answer.question} {labelled.answer.answer}")
        axes.set_xlabel(caption, fontsize=6.5, color=INK, labelpad=3)
        for column, name in enumerate(names, 1):
            axes = figure.add_subplot(grid[row, column])
            draw_overlay(
                axes,
                displayed,
                size,
                faithfulness_benchmark.heat(subject, name, labelled.answer),
                colormap,
            )
            draw_box(axes, labelled.box, "")
            if row == 0:
                axes.set_title(name.replace("_", " "), fontsize=8, color=INK, pad=4)
    path = here / "docs" / "reports" / "explanations.png"
    save(figure, path)
    with Image.open(path) as drawn:  # 256 colors, a fifth of the bytes; chosen so that no color is far off
        drawn.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
