"""The picture of docs/reports/hallucination.md: hallucination against recall, heads suppressed per idea."""

from pathlib import Path

import numpy as np

from sightline_lab.plotting import BEST, GRID, INK, MUTED, NEITHER, STYLE, plt, save

CHAIR, RECALL = "shift chair chair_i", "shift chair recall"
GATED, OTHER, CONTROL = BEST, "#6c3ce0", NEITHER
MARKERS = {"random": "x", "inverse": "+", "chance": "1"}
RATIO, RECALL_LOSS = 0.8, 1.0  # of the goal


def draw(result: dict, path: Path) -> None:
    """Left: one dot per config, greedy as a star, the goal shaded. Right: share of tokens at which a head was
    suppressed, a row per idea, a column per head; the first rows are the heads' typical image mass."""
    silenced = result["heads"]["silenced_share"]
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(
            1,
            2,
            figsize=(12.5, 1.8 + 0.34 * max(10, len(silenced))),
            layout="constrained",
            width_ratios=(1.15, 1),
        )
        _scatter(left, result)
        _heat(right, figure, result["heads"])
        save(figure, path)


def _scatter(axis: plt.Axes, result: dict) -> None:
    points = {name: _point(idea["primaries"], "after") for name, idea in result["ideas"].items()}
    greedy = _point(next(iter(result["ideas"].values()))["primaries"], "before")
    for name, idea in result["ideas"].items():
        for kind, tests in idea["controls"].items():
            x, y = _point(tests, "before")
            axis.plot([x, points[name][0]], [y, points[name][1]], color=GRID, lw=0.8, zorder=1)
            axis.scatter([x], [y], s=20, color=CONTROL, marker=MARKERS[kind], lw=1.1, zorder=2)
    for name, (x, y) in points.items():
        gated = name in result["heads"]["silenced_share"]
        axis.scatter([x], [y], s=42, color=GATED if gated else OTHER, edgecolor="white", lw=0.6, zorder=4)
    axis.scatter(*greedy, s=150, marker="*", color=INK, zorder=5)
    displayed = [*points.values(), greedy, (RATIO * greedy[0], greedy[1])]  # so that the goal is in sight
    (low_x, high_x), (low_y, high_y) = (
        _span([point[axis_index] for point in displayed]) for axis_index in (0, 1)
    )
    axis.set_xlim(low_x, high_x)
    axis.set_ylim(low_y, high_y)
    axis.fill_between(
        [low_x, RATIO * greedy[0]], greedy[1] - RECALL_LOSS, high_y, color="#14804a", alpha=0.08
    )
    _label(axis, [*points.items(), ("greedy", greedy)])
    shifted = result["roles"]["report"]["shift"] != result["roles"]["report"]["usual"]
    axis.set_xlabel(f"CHAIR_i{' under shift' if shifted else ''}, % (fewer inventions to the left)")
    axis.set_ylabel("objects named, %")
    axis.grid(color=GRID, lw=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(
        "Price of fewer inventions; × random, + inverse heads, Y chance; green: the goal", fontsize=10,
        loc="left",
    )  # fmt: skip


def _label(axis: plt.Axes, points: list[tuple[str, tuple[float, float]]]) -> None:
    """Names in a column on the right, in the order of their dots, a thin line from each to its dot."""
    low_y, high_y = axis.get_ylim()
    ordered = sorted(points, key=lambda point: point[1][1])
    wanted = [(y - low_y) / (high_y - low_y) for _, (_, y) in ordered]
    for (name, dot), height in zip(ordered, _spaced(wanted), strict=True):
        axis.annotate(
            name, dot, (1.03, height), textcoords="axes fraction", fontsize=7.5, color=INK, va="center",
            annotation_clip=False, zorder=3,
            arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.4, "shrinkA": 1, "shrinkB": 3,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def _spaced(wanted: list[float]) -> list[float]:
    """Heights in [0, 1] near the wanted ones, which rise, at least a line of text from each other."""
    gap = min(0.045, 1 / max(1, len(wanted) - 1))
    heights: list[float] = []
    for height in wanted:
        heights.append(max(height, heights[-1] + gap) if heights else height)
    top = 1.0
    for index in reversed(range(len(heights))):
        heights[index] = top = min(heights[index], top)
        top -= gap
    return heights


def _heat(axis: plt.Axes, figure: plt.Figure, heads: dict) -> None:
    typical = heads["typical_image_mass"]
    names = [f"image mass, {arm}" if len(typical) > 1 else "usual image mass" for arm in typical]
    names += heads["silenced_share"]
    maps = [*typical.values(), *heads["silenced_share"].values()]
    rows = np.array([np.ravel(one) for one in maps])
    layers, per_layer = np.shape(maps[0])
    drawn = axis.imshow(rows, cmap="magma_r", vmin=0, vmax=1, aspect="auto")
    axis.set_yticks(range(len(names)), names)
    axis.set_xticks(
        range(layers * per_layer), [str(head) for _ in range(layers) for head in range(per_layer)]
    )
    axis.axhline(len(typical) - 0.5, color="white", lw=3)
    for layer in range(1, layers):
        axis.axvline(layer * per_layer - 0.5, color="white", lw=3)
    axis.tick_params(length=0, labelcolor=MUTED)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("heads, layer by layer")
    axis.set_title("Share of tokens at which a head is suppressed", fontsize=10, loc="left")
    figure.colorbar(drawn, ax=axis, shrink=0.6, pad=0.02).outline.set_visible(False)


def _point(tests: list[dict], when: str) -> tuple[float, float]:
    values = {test["figure"]: test[when] for test in tests}
    return values[CHAIR], values[RECALL]


def _span(values: list[float]) -> tuple[float, float]:
    room = 0.08 * (max(values) - min(values)) + 0.2
    return min(values) - room, max(values) + room
