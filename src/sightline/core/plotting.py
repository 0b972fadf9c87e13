"""Drawing of pictures and charts by matplotlib, which is imported when drawing. Same calls, same
bytes."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, PAPER, BOX, GOOD, BAD = "#1d2433", "#667085", "#ffffff", "#3ddbd9", "#1a7f4b", "#c2362b"
DPI = 110


def new_figure(width: float, height: float) -> Figure:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": INK})
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)


def save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})


def draw_picture(axes: Axes, rgb: np.ndarray, size: tuple[int, int] | None = None) -> None:
    """Draw [Y, X, 3]. `size`: height and width in the units of boxes and maps over it; default: its own
    pixels."""
    height, width = size or rgb.shape[:2]
    axes.imshow(
        rgb, interpolation="nearest" if max(rgb.shape) <= 128 else "antialiased",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_box(axes: Axes, box: tuple[int, int, int, int], label: str) -> None:
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box
    axes.add_patch(
        Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=BOX, linewidth=1.6)
    )
    if label:
        axes.text(
            x0,
            y0 - 1.5,
            label,
            fontsize=7.5,
            color=INK,
            va="bottom",
            bbox={"facecolor": BOX, "edgecolor": "none", "pad": 1.2},
        )


def draw_caption(axes: Axes, word: str, detail: str) -> None:
    axes.text(
        0.0,
        -0.045,
        plain(word),
        transform=axes.transAxes,
        fontsize=10.5,
        fontweight="bold",
        color=INK,
        va="top",
    )
    axes.text(1.0, -0.055, detail, transform=axes.transAxes, fontsize=7.5, color=MUTED, va="top", ha="right")


def wrap(text: str, width: int, lines: int = 4) -> str:
    return "\n".join(textwrap.wrap(plain(text), width, max_lines=lines, placeholder=" …"))


def plain(text: str) -> str:
    """Text for matplotlib: a dollar sign would start a formula."""
    return text.replace("$", r"\$")
