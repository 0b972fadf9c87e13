"""The picture of a search: every run as a line over the axes of its settings."""

import itertools
from pathlib import Path

import numpy as np

from sightline_lab.experiments.experiment_table import Search
from sightline_lab.plotting import BEST, INK, STYLE, plt, save


def draw(search: Search, metric: str, path: Path) -> None:
    """Parallel coordinates: one axis per param at equal steps, then the metric; the best run is bold."""
    worst, best = search.runs[-1][metric], search.runs[0][metric]
    span = (best - worst) or 1.0
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(2.6 + 2.3 * len(search.params), 4.2), layout="constrained")
        columns = [_heights(search, param) for param in search.params]
        columns.append([(run[metric] - worst) / span for run in search.runs])
        t = np.linspace(0.0, 1.0, 60)
        ease = t * t * (3 - 2 * t)  # level where a line meets an axis
        for number in reversed(range(len(search.runs))):
            heights = [column[number] for column in columns]
            color = plt.get_cmap("viridis_r")(0.12 + 0.8 * (1 - heights[-1]))
            for index, (low, high) in enumerate(itertools.pairwise(heights)):
                axis.plot(index + t, low + (high - low) * ease, color=color if number else BEST,
                          lw=1.6 if number else 3.4, alpha=0.85, zorder=2 + (number == 0))  # fmt: skip
        for index, param in enumerate(search.params):
            _axis(axis, index, {_text(run[param]): columns[index][n] for n, run in enumerate(search.runs)})
        _axis(axis, len(search.params), {f"{worst:.1f}": 0.0, f"{best:.1f}": 1.0})
        axis.set_xticks(range(len(columns)), [*search.params, f"{metric}, %"])
        axis.set_xlim(-0.25, len(columns) - 0.75)
        axis.set_yticks([])
        axis.tick_params(length=0, labelcolor=INK, pad=10)
        axis.spines[:].set_visible(False)
        axis.set_title(f"{len(search.runs)} experiments; the best is bold", loc="left", fontweight="bold")
        save(figure, path)


def _heights(search: Search, param: str) -> list[float]:
    """Where each run crosses a param's axis, in [0, 1]: its value's rank among the values that were tried."""
    tried = {run[param] for run in search.runs}
    order = sorted(tried, key=lambda value: (isinstance(value, str), value) if value is not None else (0, 0))
    return [order.index(run[param]) / max(1, len(order) - 1) for run in search.runs]


def _axis(axis: plt.Axes, index: int, labels: dict[str, float]) -> None:
    axis.plot([index, index], [0, 1], color=INK, lw=1.0, zorder=4)
    for text, height in labels.items():
        axis.plot(index, height, "o", ms=4, color=INK, zorder=5)
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
        axis.annotate(
            text, (index, height), (7, 0), textcoords="offset points", va="center", bbox=box, zorder=6
        )


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
