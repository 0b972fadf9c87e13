"""metrics/pruning.json as docs/reports/pruning.md and docs/reports/pruning.svg."""

from __future__ import annotations

from pathlib import Path

from sightline.core import templates

RESULT = Path("metrics/pruning.json")
PAGE, PICTURE = Path("docs/reports/pruning.md"), Path("docs/reports/pruning.svg")
COSTS = {"macs": ("million multiply-accumulates", 1e6), "bytes": ("MB of float32 weights", 1e6)}
FIGURES = {"accuracy": "short answers right, %", "chair_i": "CHAIR_i, % (lower is better)"}
COLORS = {"none": "#171d2b", "magnitude": "#8a93a6", "taylor": "#2456a6", "spin": "#e8590c",
          "unstructured": "#14804a"}  # fmt: skip


def pareto(rows: list[dict], cost: str, figure: str) -> list[dict]:
    """The rows that no other row beats in cost without losing in the figure, the cheapest first. CHAIR_i is
    better when it is lower, accuracy when it is higher."""
    sign = -1 if figure == "chair_i" else 1
    front: list[dict] = []
    for row in sorted(rows, key=lambda row: (row[cost], -sign * row[figure])):
        if not front or sign * row[figure] > sign * front[-1][figure]:
            front.append(row)
    return front


def page(result: dict) -> str:
    front = pareto(result["rows"], "macs", "accuracy")
    return templates.render(
        "sightline_lab.pruning", "pruning.md", result=result, front=front, picture=PICTURE.name
    )


def picture(result: dict, path: Path) -> None:
    """Accuracy and CHAIR_i against cost: a point a model, the Pareto front as a line."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"svg.hashsalt": "sightline", "font.size": 9.5, "axes.edgecolor": "#c9ced8"}):
        figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained", sharey="row")
        for line, (name, label) in zip(axes, FIGURES.items(), strict=True):
            for axis, (cost, (unit, scale)) in zip(line, COSTS.items(), strict=True):
                for row in result["rows"]:
                    axis.scatter(
                        row[cost] / scale, row[name], s=46, color=COLORS[row["criterion"]],
                        marker="x" if row["stage"] == "cut" else "o",
                    )  # fmt: skip
                front = pareto(result["rows"], cost, name)
                axis.plot(
                    [r[cost] / scale for r in front], [r[name] for r in front], color="#c9ced8", zorder=0
                )
                axis.set_xlabel(unit)
            line[0].set_ylabel(label)
        handles = [
            plt.Line2D([], [], marker="o", ls="", color=color, label=name) for name, color in COLORS.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        figure.suptitle(
            "Cross: right after the cut. Dot: recovered, or whole. Line: Pareto front", fontsize=9
        )
        figure.savefig(path, metadata={"Date": None}, facecolor="white")
        plt.close(figure)
