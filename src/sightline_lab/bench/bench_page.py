"""metrics/benchmark.json as a page and a picture: docs/reports/bench.md, docs/reports/bench.svg."""

from __future__ import annotations

from pathlib import Path

from sightline.core import templates
from sightline_lab.bench.spin_overhead import BUDGET
from sightline_lab.bench.workloads import EAGER

RESULT = Path("metrics/benchmark.json")
PAGE, PICTURE = Path("docs/reports/bench.md"), Path("docs/reports/bench.svg")
TASKS = {
    "answer": "answer tokens/s", "first token": "first token, ms", "image": "images/s", "text": "texts/s",
}  # fmt: skip
BUSY = 0.3  # load per core above which the figures are provisional


def page(result: dict) -> str:
    return templates.render(
        "sightline_lab.bench", "bench.md", result=result, busy=BUSY, budget=BUDGET, eager=EAGER, tasks=TASKS,
        picture=PICTURE.name, shapes=list(dict.fromkeys(row["shape"] for row in result["rows"])),
    )  # fmt: skip


def picture(result: dict, path: Path) -> None:
    """Bars of the speed-up over eager PyTorch: a row a model, a column a task, quartiles as whiskers."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in result["rows"] if row["task"] in TASKS]
    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    style = {"svg.hashsalt": "sightline", "font.size": 9, "axes.edgecolor": "#c9ced8"}
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            len(shapes),
            len(TASKS),
            figsize=(13, 0.6 + 3.2 * len(shapes)),
            layout="constrained",
            squeeze=False,
        )
        for line, shape in zip(axes, shapes, strict=True):
            for axis, task in zip(line, TASKS, strict=True):
                _panel(axis, [row for row in rows if (row["shape"], row["task"]) == (shape, task)])
                axis.set_title(f"{shape}: {task}", loc="left", fontweight="bold", fontsize=9)
        figure.suptitle("Speed against eager PyTorch, batch 1 (dark) and 8 (light)", x=0.01, ha="left")
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _panel(axis, rows: list[dict]) -> None:
    names = list(dict.fromkeys(row["runner"] for row in rows))
    batches = sorted({row["batch"] for row in rows})
    for row in rows:
        index, ratio = batches.index(row["batch"]), row["speedup"]
        height = 0.8 / len(batches)
        whisker = [[ratio["median"] - ratio["q1"]], [ratio["q3"] - ratio["median"]]]
        axis.barh(
            names.index(row["runner"]) + (index + 0.5) * height - 0.4, ratio["median"], height * 0.9,
            color="#2456a6" if row["runner"].startswith("ONNX") else "#7a8496", alpha=1 - 0.45 * index,
            xerr=whisker, ecolor="#171d2b", error_kw={"lw": 0.8},
        )  # fmt: skip
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.axvline(1, color="#171d2b", lw=0.8)
