"""PNG pictures of explanations: overlays, the SPIN comparison, the silenced heads.

Shapes: [Y, X, 3] pictures, L decoder layers, H heads.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightline.core.plotting import (
    BAD,
    DPI,
    GOOD,
    INK,
    MUTED,
    PAPER,
    draw_box,
    draw_caption,
    draw_picture,
    new_figure,
    plain,
    save,
    wrap,
)
from sightline.explain.explained_items import Item
from sightline.explain.heatmap import Explanation, Heatmap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STRIP = 9  # words of a description that get a picture: two rows with the picture itself
_COLUMNS = 5
_COMPARED = 6  # items in the SPIN comparison
GLUE = frozenset("the and are there with its has which that this from near into onto".split())


def draw_overlay(
    axes: Axes, displayed: np.ndarray, size: tuple[int, int], heat: Heatmap | None, colormap: str
) -> None:
    """The map glowing over the dimmed picture: opaque where attention is strong, clear where there is
    none. `size`: height and width of the picture that the map is of."""
    grey = (displayed.astype(np.float64) @ [0.299, 0.587, 0.114])[..., None].repeat(3, axis=2)
    draw_picture(axes, (0.36 * displayed + 0.24 * grey).astype(np.uint8), size)
    if heat is not None:
        axes.imshow(
            heat.pixel_map,
            cmap=colormap,
            vmin=-0.15,
            vmax=1.05,
            alpha=0.9 * heat.pixel_map**0.75,
            interpolation="bilinear",
        )


def item(path: Path, source: Item, explanation: Explanation, right: bool, colormap: str) -> None:
    """The picture with the true boxes, one overlay per answer word, and the question's words by attention."""
    drawn = strip(explanation.words)
    columns = min(_COLUMNS, max(len(drawn) + 1, 2))
    rows = -(-(len(drawn) + 1) // columns)
    side = 3.3 if columns == 2 else 2.35
    figure = new_figure(side * columns, (side + 0.3) * rows + 1.85)
    top = 1 - 0.85 / figure.get_figheight()
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.02,
        right=0.98,
        top=top,
        bottom=1.1 / figure.get_figheight(),
        hspace=0.2,
        wspace=0.06,
    )
    _title(figure, source, explanation, right)
    first = figure.add_subplot(grid[0, 0])
    draw_picture(first, source.displayed, source.size)
    for kind, box in source.boxes:
        draw_box(first, box, kind)
    draw_caption(
        first, "what is there" if source.boxes else "the picture", "true boxes" if source.boxes else ""
    )
    for number, heat in enumerate(drawn, 1):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        draw_overlay(axes, source.displayed, source.size, heat, colormap)
        for _, box in source.boxes:
            draw_box(axes, box, "")
        draw_caption(
            axes, heat.provenance["word"], f"{100 * heat.provenance['image_share']:.0f} % on the image"
        )
    _question(figure, explanation)
    save(figure, path)


def strip(words: list[Heatmap], most: int = _STRIP) -> list[Heatmap]:
    """At most `most` words: all of a short answer, else the content words with the most focused maps, in
    order."""
    if len(words) <= most:
        return words
    focus = [-float(np.mean(heat.patch_map)) if heat.patch_map.any() else -1.0 for heat in words]
    kept: list[int] = []
    used: set[str] = set()
    for index in sorted(range(len(words)), key=lambda index: (-focus[index], index)):
        word = words[index].provenance["word"]
        if len(word) > 2 and word not in used | GLUE and len(kept) < most:
            kept.append(index)
            used.add(word)
    return [words[index] for index in sorted(kept)]


def compare(path: Path, pairs: list[tuple[Item, Explanation, Explanation]], colormap: str) -> None:
    """The first items, a line each: the picture, then the mean map of the whole answer with SPIN off and
    on."""
    pairs = pairs[:_COMPARED]
    figure = new_figure(9.6, 2.32 * len(pairs) + 0.85)
    grid = figure.add_gridspec(
        len(pairs),
        4,
        width_ratios=[1, 1, 1, 1.35],
        left=0.02,
        right=0.98,
        bottom=0.03,
        top=1 - 0.8 / figure.get_figheight(),
        wspace=0.06,
        hspace=0.08,
    )
    figure.text(
        0.02,
        1 - 0.22 / figure.get_figheight(),
        "SPIN off and on: the same questions",
        fontsize=14,
        fontweight="bold",
        color=INK,
        va="top",
    )
    for row, (source, off, on) in enumerate(pairs):
        draw_picture(figure.add_subplot(grid[row, 0]), source.displayed, source.size)
        for column, explanation in ((1, off), (2, on)):
            axes = figure.add_subplot(grid[row, column])
            draw_overlay(axes, source.displayed, source.size, mean_map(explanation), colormap)
            if row == 0:
                axes.set_title("SPIN off" if column == 1 else "SPIN on", fontsize=10, color=MUTED, pad=6)
        text = figure.add_subplot(grid[row, 3])
        text.axis("off")
        text.text(0.06, 0.98, wrap(source.question, 34), fontsize=9, color=INK, fontweight="bold", va="top")
        height = 0.8
        for label, line in (("off", off.answer), ("on", on.answer), ("truth", source.truth)):
            wrapped = wrap(line or "(no answer)", 27, 3)
            text.text(0.06, height, label, fontsize=8, color=MUTED, va="top")
            text.text(0.22, height, wrapped, fontsize=8.5, color=INK, va="top")
            height -= 0.085 * (wrapped.count("\n") + 1) + 0.04
    save(figure, path)


def mean_map(explanation: Explanation) -> Heatmap | None:
    """The mean of the words' maps; None for an answer without words."""
    if not explanation.words:
        return None
    patches = np.mean([heat.patch_map for heat in explanation.words], axis=0)
    pixels = np.mean([heat.pixel_map for heat in explanation.words], axis=0)
    top = max(float(patches.max()), 0.5)  # words that look at different places must not dim each other
    whole, seen = {"word": "whole answer"}, explanation.words[0].seen
    return Heatmap(patches / top, np.clip(pixels / top, 0.0, 1.0), [], whole, pixels, seen)


def silenced(path: Path, share_LH: np.ndarray, kept: str, colormap: str) -> None:
    """How often SPIN silences each head, layer x head, over every answer token of the items."""
    layers, heads = share_LH.shape
    figure = new_figure(max(5.6, 0.72 * heads + 1.6), 0.72 * layers + 1.6)
    axes = figure.add_axes(
        (0.12, 0.62 / figure.get_figheight(), 0.85, (0.72 * layers) / figure.get_figheight())
    )
    axes.imshow(share_LH, vmin=0, vmax=1, cmap=colormap, aspect="auto")
    for (layer, head), share in np.ndenumerate(share_LH):
        axes.text(
            head,
            layer,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            fontsize=10,
            color="#ffffff" if share < 0.6 else "#14101f",
        )
    axes.set_xticks(range(heads), [f"{head}" for head in range(heads)])
    axes.set_yticks(range(layers), [f"layer {layer}" for layer in range(layers)])
    axes.set_xlabel("attention head", color=MUTED)
    axes.tick_params(length=0, colors=MUTED)
    axes.set_xticks(np.arange(heads + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(layers + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=PAPER, linewidth=2)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    height = figure.get_figheight()
    figure.text(
        0.03,
        1 - 0.2 / height,
        "Heads that SPIN silences",
        fontsize=14,
        fontweight="bold",
        color=INK,
        va="top",
    )
    figure.text(
        0.03,
        1 - 0.55 / height,
        f"percent of answer tokens, SPIN on ({kept})",
        fontsize=9.5,
        color=MUTED,
        va="top",
    )
    save(figure, path)


def _title(figure: Figure, source: Item, explanation: Explanation, right: bool) -> None:
    height = figure.get_figheight()
    width = int(figure.get_figwidth() * 11)
    figure.text(
        0.02,
        1 - 0.18 / height,
        wrap(source.question, width, 1),
        fontsize=13.5,
        fontweight="bold",
        color=INK,
        va="top",
    )
    answer = wrap(explanation.answer or "(no answer)", width, 2)
    describes = source.type == "describe"
    colour = INK if describes else GOOD if right else BAD
    verdict = "" if describes else "   right" if right else f"   wrong: {plain(source.truth)}"
    figure.text(
        0.02, 1 - 0.48 / height, answer + verdict, fontsize=11 if not describes else 9, color=colour, va="top"
    )


def _question(figure: Figure, explanation: Explanation) -> None:
    """The question's words, shaded by their share of the attention on the question, over the whole answer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if not explanation.words:
        return
    shares = np.mean([[score for _, score in heat.text_scores] for heat in explanation.words], axis=0)
    top = max(float(shares.max()), 1e-9)
    height, x, renderer = figure.get_figheight(), 0.026, FigureCanvasAgg(figure).get_renderer()
    figure.text(0.02, 0.5 / height, "question words, by attention", fontsize=8, color=MUTED, va="bottom")
    for (word, _), share in zip(explanation.words[0].text_scores, shares, strict=True):
        text = figure.text(
            x,
            0.2 / height,
            plain(word),
            fontsize=10.5,
            color=INK,
            va="bottom",
            bbox={
                "facecolor": (0.96, 0.55, 0.2, 0.12 + 0.78 * share / top),
                "edgecolor": "none",
                "boxstyle": "round,pad=0.28",
            },
        )
        x += (
            text.get_window_extent(renderer).width / (figure.get_figwidth() * DPI)
            + 0.14 / figure.get_figwidth()
        )
