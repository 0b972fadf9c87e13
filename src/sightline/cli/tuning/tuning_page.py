"""plots/tune/<name>.md and <name>.png: every trial of a search, its values and what came of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.cli.tuning.search_space import Choice
from sightline.cli.tuning.trials import REASON, State, Trials
from sightline.cli.tuning.val_figures import Figure
from sightline.core import plotting
from sightline.core.atomic_io import write_bytes
from sightline.core.plain_text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna.trial import FrozenTrial

FOLDER = "plots/tune"
WORDS = {State.COMPLETE: "finished", State.PRUNED: "pruned", State.FAIL: "failed", State.RUNNING: "open"}
COLUMNS, PANEL = 3, (4.2, 3.1)  # of the picture; a panel in inches


def line(trials: Trials, trial: "FrozenTrial", figure: Figure) -> str:
    """What came of a trial, and the best so far."""
    name, state = trials.experiment(trial), WORDS[trial.state]
    best = trials.best()
    shown = f"{figure} {_figure(trial)}" if _figure(trial) else trial.user_attrs.get(REASON, "")
    so_far = f" (best {best.value:.2f}, {trials.experiment(best)})" if best else ""
    return f"{name} {state}: {shown or 'no evaluation yet'}{so_far}: {values(trial)}"


def values(trial: "FrozenTrial") -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in trial.params.items())


def write(here: Path, trials: Trials, figure: Figure) -> None:
    folder = here / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / f"{trials.name}.md", table(trials, figure).encode())
    if any(_height(trial) is not None for trial in trials.all()):
        _draw(trials, figure, folder / f"{trials.name}.png")


def table(trials: Trials, figure: Figure) -> str:
    """The trials, the best first; of a pruned one the last evaluation, which is not the figure of a whole
    training."""
    keys = list(trials.space.searched)
    head = ["trial", *(f"`{key}`" for key in keys), f"{figure}", "state"]
    rows = [head, ["---", *["---:"] * (len(keys) + 1), "---"]]
    order = {State.COMPLETE: 0, State.PRUNED: 1, State.RUNNING: 2, State.FAIL: 3}
    for trial in sorted(
        trials.all(), key=lambda each: (order[each.state], -(_height(each) or 0), each.number)
    ):
        cells = [_value(trial.params.get(key, "")) for key in keys]
        why = trial.user_attrs.get(REASON, "")
        state = f"{WORDS[trial.state]}: {why}" if why else WORDS[trial.state]
        rows.append([trials.experiment(trial), *cells, _figure(trial), state])
    lines = ["| " + " | ".join(plain(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    best = trials.best()
    cure = f"\nThe best: `dvc exp apply {trials.experiment(best)}`, then `dvc repro`.\n" if best else ""
    return f"# The search {trials.name}\n\n" + "\n".join(lines) + "\n" + cure


def _draw(trials: Trials, figure: Figure, path: Path) -> None:
    """The figure by trial, then by the values of each parameter."""
    keys = list(trials.space.searched)
    columns = min(COLUMNS, len(keys) + 1)
    rows = -(-(len(keys) + 1) // columns)
    whole = plotting.new_figure(PANEL[0] * columns, PANEL[1] * rows)
    grid = whole.subplots(rows, columns, squeeze=False).ravel()
    _panel(grid[0], trials, lambda trial: trial.number)
    _best_so_far(grid[0], trials)
    grid[0].set_xlabel("trial")
    grid[0].xaxis.get_major_locator().set_params(integer=True)
    for axes, key in zip(grid[1:], keys, strict=False):
        part = trials.space.searched[key]
        if isinstance(part, Choice):
            _panel(axes, trials, partial(_place, key, part.typed))
            axes.set_xlim(-0.5, len(part.typed) - 0.5)
            axes.set_xticks(range(len(part.typed)), [plotting.plain(text) for text in part.typed])
        else:
            _panel(axes, trials, partial(_place, key, ()))
            axes.set_xscale("log" if part.log else "linear")
        axes.set_xlabel(key)
    for axes in grid[len(keys) + 1 :]:
        axes.set_visible(False)
    for axes in grid[::columns]:
        axes.set_ylabel(str(figure))
    whole.tight_layout()
    plotting.save(whole, path)


def _place(key: str, typed: tuple[str, ...], trial: "FrozenTrial") -> float:
    """Of a value on the x axis; of a choice its number."""
    value = trial.params[key]
    return typed.index(value) if typed else value


def _panel(axes: "Axes", trials: Trials, place: Callable[["FrozenTrial"], float]) -> None:
    """Every trial that was evaluated, by its place on the x axis."""
    for state, mark, color in ((State.COMPLETE, "o", plotting.INK), (State.PRUNED, "x", plotting.MUTED)):
        points = [
            (place(trial), height)
            for trial in trials.all()
            if trial.state == state and (height := _height(trial)) is not None
        ]
        x, y = np.array(points, float).reshape(-1, 2).T
        axes.scatter(x, y, marker=mark, c=color, s=26)
    if (best := trials.best()) and best.value is not None:
        axes.scatter([place(best)], [best.value], marker="o", c=plotting.GOOD, s=60, zorder=3)
    axes.spines[["top", "right"]].set_visible(False)


def _best_so_far(axes: "Axes", trials: Trials) -> None:
    points: list[tuple[int, float]] = []
    for trial in trials.all():
        if trial.state == State.COMPLETE and trial.value is not None:
            points.append((trial.number, max(trial.value, points[-1][1] if points else trial.value)))
    if points:
        axes.step(*zip(*points, strict=True), where="post", c=plotting.GOOD, lw=1.2)
    axes.set_title(
        "dot: finished; cross: pruned, its last evaluation; green: best",
        fontsize=8,
        color=plotting.MUTED,
        loc="left",
    )


def _height(trial: "FrozenTrial") -> float | None:
    """The figure of a finished trial, of another its last evaluation."""
    if trial.state == State.COMPLETE:
        return trial.value
    return trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None


def _figure(trial: "FrozenTrial") -> str:
    height = _height(trial)
    if height is None:
        return ""
    cut = "" if trial.state == State.COMPLETE else f" at evaluation {max(trial.intermediate_values)}"
    return f"{height:.2f}{cut}"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
