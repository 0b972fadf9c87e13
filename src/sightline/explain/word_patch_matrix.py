"""Words by patches: a whole description and where each of its words came from, in one picture.

Shapes: W answer words, P patches in reading order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sightline.core.plotting import INK, MUTED, draw_picture, new_figure, plain, save, wrap
from sightline.explain.explained_items import Item
from sightline.explain.heatmap import Explanation


def draw(path: Path, item: Item, explanation: Explanation, colormap: str) -> None:
    """Rows: the answer's words, from top to bottom. Columns: the patches, row by row of the grid."""
    maps_WP = np.stack([heat.patch_map.ravel() for heat in explanation.words])
    rows, cols = explanation.words[0].patch_map.shape
    figure = new_figure(10.5, max(0.19 * len(maps_WP) + 1.2, 2.2))
    height = figure.get_figheight()
    picture = figure.add_axes((0.015, 1 - 2.0 / height, 1.7 / 10.5, 1.7 / height))
    draw_picture(picture, item.displayed)
    figure.text(0.195, 1 - 0.14 / height, "Words by patches", fontsize=13, fontweight="bold", va="top")
    figure.text(0.195, 1 - 0.42 / height, wrap(item.question, 90, 1), fontsize=9, color=MUTED, va="top")
    axes = figure.add_axes((0.27, 0.45 / height, 0.715, (0.19 * len(maps_WP)) / height))
    axes.imshow(maps_WP, cmap=colormap, vmin=-0.05, vmax=1.05, aspect="auto", interpolation="nearest")
    words = [plain(heat.provenance["word"]) for heat in explanation.words]
    axes.set_yticks(range(len(words)), words, fontsize=7.5)
    middles = np.arange(rows) * cols + (cols - 1) / 2
    axes.set_xticks(middles, [f"row {row + 1}" for row in range(rows)], fontsize=7.5)
    axes.set_xlabel("patches of the picture, row by row", color=MUTED, fontsize=8)
    axes.tick_params(length=0, colors=INK)
    for row in range(1, rows):
        axes.axvline(row * cols - 0.5, color="#ffffff", linewidth=0.8, alpha=0.6)
    for spine in axes.spines.values():
        spine.set_visible(False)
    save(figure, path)
