"""Shared colours, style and reproducible saving of the lab's SVG figures."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

INK, MUTED, GRID = "#171d2b", "#667085", "#e3e6ec"
BETTER, WORSE, NEITHER, BEST = "#14804a", "#c2362b", "#8a93a6", "#e8590c"
STYLE = {
    "svg.hashsalt": "sightline",  # ids in the file are drawn from it
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "axes.edgecolor": GRID,
}


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    plt.close(figure)
