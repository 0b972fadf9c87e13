"""The study's two pictures, SVG with the same bytes every time: differences of arms, and a search's runs."""

import itertools
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from sightline_lab.ablations import ablation_summary  # noqa: E402
from sightline_lab.experiments.experiment_table import Search  # noqa: E402

INK, QUIET, GRID = "#171d2b", "#667085", "#e3e6ec"
BETTER, WORSE, NEITHER, BEST = "#14804a", "#c2362b", "#8a93a6", "#e8590c"
PANELS = ("answers", "chair_i", "text_to_image_r1", "swapped_kind")
STYLE = {
    "svg.hashsalt": "sightline",  # ids in the file are drawn from it
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": QUIET,
    "ytick.color": INK,
    "axes.edgecolor": GRID,
}


def ablations(result: dict, path: Path) -> None:
    """One row an arm, one panel a figure: a dot a seed, a bar for the mean and its 95 % interval."""
    arms = ablation_summary.others(result)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(PANELS), figsize=(11, 1.5 + 0.38 * len(arms)), sharey=True, layout="constrained"
        )
        for axis, name in zip(axes, PANELS, strict=True):
            _panel(axis, result, arms, name)
        axes[0].set_yticks(range(len(arms)), [arm.replace("-", " ") for arm in arms])
        axes[0].set_ylim(len(arms) - 0.5, -0.5)
        figure.suptitle("Difference to the default at equal compute, points on val", x=0.01, ha="left",
                        fontweight="bold", fontsize=12)  # fmt: skip
        save(figure, path)


def _panel(axis: plt.Axes, result: dict, arms: list[str], name: str) -> None:
    lower = name in ablation_summary.LOWER_IS_BETTER
    for row, arm in enumerate(arms):
        gap = ablation_summary.difference(result, arm, name)
        good = (gap.mean > 0) != lower
        color = (BETTER if good else WORSE) if gap.clear else NEITHER
        if gap.half is not None:
            axis.plot([gap.mean - gap.half, gap.mean + gap.half], [row, row], color=color, lw=5, alpha=0.22,
                      solid_capstyle="round", zorder=2)  # fmt: skip
        axis.plot([gap.mean, gap.mean], [row - 0.24, row + 0.24], color=color, lw=2.2, zorder=4)
        axis.scatter(gap.values, [row] * len(gap.values), s=22, color=color, edgecolor="white", lw=0.6,
                     zorder=3)  # fmt: skip
    dots = [value for arm in arms for value in ablation_summary.difference(result, arm, name).values]
    room = 0.12 * (max([*dots, 0.0]) - min([*dots, 0.0])) + 0.2
    axis.set_xlim(min([*dots, 0.0]) - room, max([*dots, 0.0]) + room)  # dots decide; long intervals run out
    axis.axvline(0, color=INK, lw=0.9, zorder=1)
    axis.grid(axis="x", color=GRID, lw=0.8, zorder=0)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_title(
        ablation_summary.NAMES[name] + (" (lower is better)" if lower else ""), fontsize=10, loc="left"
    )


def search(found: Search, metric: str, path: Path) -> None:
    """Parallel coordinates: an axis a knob, its values at equal steps, the metric last; the best run bold."""
    worst, best = found.runs[-1][metric], found.runs[0][metric]
    span = (best - worst) or 1.0
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(2.6 + 2.3 * len(found.knobs), 4.2), layout="constrained")
        columns = [_heights(found, knob) for knob in found.knobs]
        columns.append([(run[metric] - worst) / span for run in found.runs])
        t = np.linspace(0.0, 1.0, 60)
        ease = t * t * (3 - 2 * t)  # level where a line meets an axis
        for number in reversed(range(len(found.runs))):
            heights = [column[number] for column in columns]
            color = plt.get_cmap("viridis_r")(0.12 + 0.8 * (1 - heights[-1]))
            for place, (low, high) in enumerate(itertools.pairwise(heights)):
                axis.plot(place + t, low + (high - low) * ease, color=color if number else BEST,
                          lw=1.6 if number else 3.4, alpha=0.85, zorder=2 + (number == 0))  # fmt: skip
        for place, knob in enumerate(found.knobs):
            _axis(axis, place, {_text(run[knob]): columns[place][n] for n, run in enumerate(found.runs)})
        _axis(axis, len(found.knobs), {f"{worst:.1f}": 0.0, f"{best:.1f}": 1.0})
        axis.set_xticks(range(len(columns)), [*found.knobs, f"{metric}, %"])
        axis.set_xlim(-0.25, len(columns) - 0.75)
        axis.set_yticks([])
        axis.tick_params(length=0, labelcolor=INK, pad=10)
        axis.spines[:].set_visible(False)
        axis.set_title(f"{len(found.runs)} experiments; the best is bold", loc="left", fontweight="bold")
        save(figure, path)


def _heights(found: Search, knob: str) -> list[float]:
    """Where each run crosses a knob's axis, in [0, 1]: its value's rank among the values that were tried."""
    tried = {run[knob] for run in found.runs}
    order = sorted(tried, key=lambda value: (isinstance(value, str), value) if value is not None else (0, 0))
    return [order.index(run[knob]) / max(1, len(order) - 1) for run in found.runs]


def _axis(axis: plt.Axes, place: int, labels: dict[str, float]) -> None:
    axis.plot([place, place], [0, 1], color=INK, lw=1.0, zorder=4)
    for text, height in labels.items():
        axis.plot(place, height, "o", ms=4, color=INK, zorder=5)
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
        axis.annotate(
            text, (place, height), (7, 0), textcoords="offset points", va="center", bbox=box, zorder=6
        )


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    plt.close(figure)
