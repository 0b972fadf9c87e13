"""The charts and the sheet of examples, as PNG. Same figures, same bytes. K: objects in the chart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightline.core.plotting import INK, MUTED, PAPER, draw_picture, new_figure, plain, save, wrap
from sightline.evaluate.dataset_report.object_statistics import related

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCENT, WARM, GRID, EMPTY = "#6c3ce0", "#e8710a", "#e3e6ec", "#f2f3f6"
DOTS = ("#6c3ce0", "#b79bff", "#1a7f4b", "#e8710a", "#c2362b", "#2aa7c4", "#d6a400", "#667085")
HEATMAP_SIZE = 16  # objects in the heat map
PAIRS = 8  # rows of the chart across splits
LIFT = 2.0  # doublings at which the colour of the heat map is full
COLUMNS = 4


def lengths(path: Path, report: dict) -> None:
    """Words and tokens of a caption: the first split as bars, the others as lines."""
    panels = [
        (unit, name)
        for unit, name in (("words", "words of a caption"), ("tokens", "tokens, both frame tokens counted"))
        if report["captions"][report["base"]][unit]
    ]
    figure = new_figure(9.6, 3.5)
    _title(figure, "How long captions are", f"share of captions; bars {report['base']}, lines other splits")
    grid = figure.add_gridspec(1, 2, left=0.065, right=0.98, bottom=0.16, top=0.79, wspace=0.16)
    for column, (unit, label) in enumerate(panels):
        axes = figure.add_subplot(grid[0, column if len(panels) > 1 else slice(None)])
        for split in reversed(report["order"]):
            counts = report["captions"][split][unit]["histogram"]
            if not counts:
                continue
            values = np.arange(min(map(int, counts)), max(map(int, counts)) + 1)
            heights = np.array([counts.get(str(value), 0) for value in values]) / sum(counts.values())
            if split == report["base"]:
                axes.bar(values, 100 * heights, width=0.86, color=ACCENT, alpha=0.85)
            else:
                axes.plot(values, 100 * heights, color=MUTED, linewidth=0.8, alpha=0.55)
        _plain_axes(axes, label, "percent" if column == 0 else "")
        limit = report["captions"][report["base"]][unit].get("limit")
        if limit and limit < 2 * axes.get_xlim()[1]:
            axes.axvline(limit, color=WARM, linewidth=1.6)
            side = "right" if limit > np.mean(axes.get_xlim()) else "left"
            label = f" cut at {limit} "
            axes.text(limit, axes.get_ylim()[1], label, color=WARM, fontsize=9, va="top", ha=side)
    save(figure, path)


def zipf(path: Path, report: dict) -> None:
    """Occurrences of a word against its rank, both logarithmic, with the line of Zipf's law."""
    spectrum = report["vocabulary"][report["base"]]["frequencies"]
    times = sorted((int(n) for n in spectrum), reverse=True)
    counts_N = np.repeat(times, [spectrum[str(n)] for n in times])
    ranks_N = np.arange(1, len(counts_N) + 1)
    figure = new_figure(9.6, 3.5)
    _title(figure, "How often each word is used", f"{report['base']}: words in order of frequency")
    axes = figure.add_axes((0.085, 0.17, 0.895, 0.62))
    axes.loglog(ranks_N, counts_N[0] / ranks_N, color=WARM, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.loglog(ranks_N, counts_N, color=ACCENT, linewidth=0, marker="o", markersize=3.2)
    axes.set_ylim(bottom=max(0.7, counts_N[-1] / 2))
    for number, (word, n) in enumerate(report["vocabulary"][report["base"]]["top"][:6], 1):
        axes.annotate(plain(word), (number, n), (4, 5), textcoords="offset points", fontsize=8.5, color=INK)
    axes.text(
        0.99, 0.95, "dashed: Zipf's law, n / rank", transform=axes.transAxes,
        color=WARM, fontsize=9, ha="right", va="top",
    )  # fmt: skip
    _plain_axes(axes, "rank of the word", "occurrences")
    save(figure, path)


def pairs(path: Path, report: dict) -> None:
    """P(column | row) in percent, coloured by lift: how much more often than in a picture at random."""
    objects = report["objects"]["splits"][report["base"]]
    ranked = sorted(objects["counts"], key=lambda name: (-objects["counts"][name], name))[:HEATMAP_SIZE]
    names = sorted(ranked)
    alone_K = np.array([objects["counts"][name] for name in names])
    both_KK = np.zeros((len(names), len(names)))
    index_of = {name: index for index, name in enumerate(names)}
    for a, b, n in objects["pairs"]:
        if a in index_of and b in index_of:
            both_KK[index_of[a], index_of[b]] = both_KK[index_of[b], index_of[a]] = n
    chance_KK = both_KK / alone_K[:, None]
    with np.errstate(divide="ignore"):
        doublings_KK = np.log2(chance_KK / (alone_K / objects["items"])[None, :])
    shade_KK = np.clip(doublings_KK, -LIFT, LIFT)
    shade_KK[both_KK == 0] = np.nan  # no co-occurrence is no bias yet: rare objects mostly have none
    shade_KK[[[a == b or related(a, b) for b in names] for a in names]] = np.nan
    side = 0.52 * len(names)
    figure = new_figure(side + 2.0, side + 2.15)
    height, width = figure.get_figheight(), figure.get_figwidth()
    _title(
        figure, "What goes with what", f"{report['base']}: of the pictures with the thing on the left, "
        "percent that also show the one above",
    )  # fmt: skip
    axes = figure.add_axes((1.0 / width, 0.75 / height, side / width, side / height))
    axes.set_facecolor(EMPTY)
    image = axes.imshow(shade_KK, cmap="PuOr", vmin=-LIFT, vmax=LIFT)
    for (row, column), chance in np.ndenumerate(chance_KK):
        if row != column and not related(names[row], names[column]):
            strong = abs(shade_KK[row, column]) > 0.62 * LIFT
            axes.text(
                column, row, f"{100 * chance:.0f}", ha="center", va="center", fontsize=8.5,
                color="#ffffff" if strong else INK,
            )  # fmt: skip
    axes.set_xticks(range(len(names)), [plain(name) for name in names], rotation=45, ha="left")
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=9, colors=INK)
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=PAPER, linewidth=1.6)
    axes.tick_params(which="minor", length=0)
    _no_frame(axes)
    scale = figure.add_axes((1.0 / width, 0.42 / height, side / width, 0.12 / height))
    bar = figure.colorbar(image, cax=scale, orientation="horizontal", ticks=[-2, -1, 0, 1, 2])
    bar.ax.set_xticklabels(["a quarter as often", "half", "by chance", "twice", "four times"], fontsize=8)
    bar.ax.tick_params(length=0, colors=MUTED)
    bar.outline.set_visible(False)
    save(figure, path)


def across(path: Path, report: dict) -> None:
    """The strongest pairs of the first split, and their P(B|A) in every split."""
    biases = report["objects"]["across"][:PAIRS]
    tall = 0.22 + 0.075 * len(report["order"])  # inches of a row: a line for each split
    figure = new_figure(9.6, tall * len(biases) + 1.3)
    height = figure.get_figheight()
    _title(
        figure, "The strongest habits, split by split",
        f"given the first, percent of pictures with the second; bar: how often it is there anyway "
        f"({report['base']})",
    )  # fmt: skip
    axes = figure.add_axes((0.17, 0.4 / height, 0.65, tall * len(biases) / height))
    for row, pair in enumerate(biases):
        axes.barh(row, 100 * pair["base"], height=0.8, color=GRID)
        for index, split in enumerate(report["order"]):
            cell = pair["splits"][split]
            if cell["given"]:
                line = row + 0.7 * ((index + 0.5) / len(report["order"]) - 0.5)
                axes.plot(
                    100 * cell["share"], line, marker="o", linewidth=0, markersize=6, clip_on=False,
                    color=DOTS[index % len(DOTS)], label=plain(split) if row == 0 else None,
                )  # fmt: skip
    axes.set_yticks(
        range(len(biases)), [plain(f"{pair['given']} \N{RIGHTWARDS ARROW} {pair['then']}") for pair in biases]
    )
    axes.set_xlim(0, 100)
    axes.set_ylim(len(biases) - 0.5, -0.5)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.tick_params(length=0, labelsize=9.5, colors=INK)
    axes.tick_params(axis="y", pad=10)
    _no_frame(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.03, 0.5), frameon=False, fontsize=9)
    save(figure, path)


def sheet(path: Path, examples: list[dict]) -> None:
    """A contact sheet: each picture with its first caption, and one question with its answer."""
    columns = min(COLUMNS, len(examples))
    rows = -(-len(examples) // columns)
    figure = new_figure(2.75 * columns, 3.85 * rows + 0.75)
    height = figure.get_figheight()
    _title(figure, "Examples", f"{examples[0]['split']}, drawn by the seed")
    for position, example in enumerate(examples):
        left = (position % columns + 0.065) / columns
        top = 1 - (0.72 + 3.85 * (position // columns)) / height
        axes = figure.add_axes((left, top - 2.5 / height, 0.92 / columns, 2.5 / height))
        draw_picture(axes, example["displayed"])
        axes.set_anchor("NW")
        caption = wrap(example["captions"][0], 43, 3)
        figure.text(left, top - 2.58 / height, caption, fontsize=8, color=MUTED, va="top")
        below = top - (2.66 + 0.155 * (caption.count("\n") + 1)) / height
        question = wrap(example["question"], 36, 2)
        figure.text(left, below, question, fontsize=9.5, color=INK, fontweight="bold", va="top")
        below -= (0.05 + 0.175 * (question.count("\n") + 1)) / height
        figure.text(left, below, wrap(example["answer"], 40, 2), fontsize=9.5, color=ACCENT, va="top")
    save(figure, path)


def _title(figure: Figure, text: str, detail: str) -> None:
    height, left = figure.get_figheight(), 0.18 / figure.get_figwidth()
    figure.text(left, 1 - 0.14 / height, text, fontsize=14, fontweight="bold", color=INK, va="top")
    figure.text(left, 1 - 0.43 / height, plain(detail), fontsize=9.5, color=MUTED, va="top")


def _plain_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, color=MUTED, fontsize=9.5)
    axes.set_ylabel(y, color=MUTED, fontsize=9.5)
    axes.tick_params(length=0, labelsize=9, colors=MUTED, which="both")
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    _no_frame(axes)


def _no_frame(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
