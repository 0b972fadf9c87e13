"""The picture of the ablations: the difference of every arm to the default."""

from pathlib import Path

from sightline_lab.ablations import ablation_summary
from sightline_lab.plotting import BETTER, GRID, INK, NEITHER, STYLE, WORSE, plt, save

PANELS = ("answers", "chair_i", "text_to_image_r1", "swapped_kind")


def ablations(result: dict, path: Path) -> None:
    """One row an arm, one panel a figure: a dot a seed, a bar for the mean and its 95 % interval."""
    arms = ablation_summary.other_arms(result)
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
