"""metrics/benchmark.json as a page and a picture: docs/reports/bench.md, docs/reports/bench.svg."""

from __future__ import annotations

from pathlib import Path

from sightline.core import artifacts
from sightline.core.atomic_io import write_bytes
from sightline_lab.bench.spin_overhead import BUDGET
from sightline_lab.bench.workloads import EAGER

RESULT = Path("metrics/benchmark.json")
PAGE, PICTURE = Path("docs/reports/bench.md"), Path("docs/reports/bench.svg")
TASKS = {
    "answer": "answer tokens/s", "first token": "first token, ms", "image": "images/s", "text": "texts/s",
}  # fmt: skip
BUSY = 0.3  # load per core above which the figures are provisional


def write(root: Path) -> None:
    """Both files, from the JSON alone. Raises ArtifactError where it is damaged."""
    result = artifacts.read_json(root / RESULT)
    (root / PAGE).parent.mkdir(exist_ok=True)
    write_bytes(root / PAGE, page(result).encode())
    picture(result, root / PICTURE)


def page(result: dict) -> str:
    machine = result["machine"]
    busy = "" if machine["load"] <= BUSY else (
        f"**Provisional**: other programs kept the machine busy when it began (load {machine['load']} per "
        "core), so run it again on idle cores.\n\n"
    )  # fmt: skip
    parts = [
        "# How fast\n\n`sightline lab bench` wrote this page from `metrics/benchmark.json`. Ratios are of "
        f"one run on one machine ({machine['processor']}, {machine['threads']} threads, PyTorch "
        f"{machine['torch']}, ONNX Runtime {machine['onnxruntime']}); absolute figures are good for nothing "
        f"else. In each of {result['rounds']} rounds every form ran once, in turn; shown are medians and, "
        "for the ratio to eager PyTorch in the same round, quartiles.\n\n"
        + busy
        + f"![Speed-up over eager PyTorch]({PICTURE.name})\n"
    ]
    for shape in dict.fromkeys(row["shape"] for row in result["rows"]):
        parts.append(_shape(result, shape))
    parts += [_spin(result), _training(result), _cost(result), _cold(result), _absent(result)]
    return "\n".join(part for part in parts if part)


def _shape(result: dict, shape: str) -> str:
    lines = [f"## {shape.capitalize()} model\n", "| task | batch | form | median | against PyTorch |"]
    lines.append("|---|---:|---|---:|---:|")
    for task, unit in TASKS.items():
        for row in result["rows"]:
            if (row["shape"], row["task"]) != (shape, task):
                continue
            shown = row["ms"] if unit.endswith("ms") else row["per_second"]
            ratio = row["speedup"]
            lines.append(
                f"| {unit} | {row['batch']} | {row['runner']} | {shown['median']:g} | "
                f"{ratio['median']:.2f} [{ratio['q1']:.2f}, {ratio['q3']:.2f}] |"
            )
    return "\n".join(lines) + "\n"


def _spin(result: dict) -> str:
    lines = [
        "## What SPIN costs\n",
        "Time of an answer with SPIN on half of the heads, against none: the median over many pairs, timed "
        f"in alternating order, with its 95 % interval (bootstrap). Wanted: at most {BUDGET:g} %.\n",
        "| model | batch | form | percent | pairs | at most wanted |",
        "|---|---:|---|---:|---:|---|",
    ]
    said = {"within": "yes", "beyond": "no", "not told": "cannot be told"}
    for row in result["rows"]:
        if row["task"] == "SPIN":
            found = row["percent"]
            lines.append(
                f"| {row['shape']} | {row['batch']} | {row['runner']} | {found['median']:+.1f} "
                f"[{found['low']:+.1f}, {found['high']:+.1f}] | {row['pairs']} | {said[row['verdict']]} |"
            )
    return "\n".join(lines) + "\n"


def _training(result: dict) -> str:
    if not result.get("training"):
        return ""
    lines = [
        "## Training\n",
        "Pairs per second of contrastive training: ViT-Tiny at 224 and the reference's text tower, "
        "InfoNCE alone, AdamW, clipped gradients, one batch in memory; the loop of the training stages here "
        "against `train_one_epoch` of open_clip. Each side is launched both ways; the ratio is between the "
        "faster launches. Ours differs by a fused AdamW, deterministic kernels, a finite-loss check and a "
        "report of every step; open_clip's by its own attention and a text tower with a causal mask.\n",
        "| precision | batch | side | pairs/s | against open_clip |",
        "|---|---:|---|---:|---:|",
    ]
    for row in result["training"]:
        ratio = "{median:.2f} [{q1:.2f}, {q3:.2f}]".format(**row["ratio"])
        for side, speed in row["launches"].items():
            shown = ratio if side == f"sightline, {row['best']['sightline']}" else ""
            cells = (row["precision"], str(row["batch"]), side, f"{speed['median']:g}", shown)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cost(result: dict) -> str:
    lines = ["## Size, memory and answers\n"]
    lines.append(
        "Peak memory is that of a fresh process that loads the model and answers once. Flipped: short "
        "answers on `val` that differ from float32's.\n"
    )
    lines += ["| model | form | MB | of PyTorch | peak MB | accuracy | flipped |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|"]
    for shape, sizes in result["bytes"].items():
        for form, size in sizes.items():
            own = shape == "default"
            peak = result.get("memory", {}).get(form, {}).get("peak_bytes") if own else None
            quality = result.get("quality", {}).get(form, {}) if own else {}
            cells = [f"{peak / 1e6:.0f}" if peak else ""]
            cells += [f"{quality['accuracy']:.1f}", f"{quality['flipped']:.1f} %"] if quality else ["", ""]
            lines.append(
                f"| {shape} | {form} | {size / 1e6:.1f} | {100 * size / sizes[EAGER]:.0f} % | "
                + " | ".join(cells) + " |"
            )  # fmt: skip
    return "\n".join(lines) + "\n"


def _cold(result: dict) -> str:
    if "cold_start" not in result:
        return ""
    found = {key: value["median"] for key, value in result["cold_start"].items()}
    return (
        "## From nothing to the first answer\n\nA fresh process with the bundle: "
        f"{found['total_s']:.2f} s, of which imports {found['import_s']:.2f}, loading and verifying "
        f"{found['load_s']:.2f}, the answer {found['answer_s']:.2f}; at most "
        f"{found['peak_bytes'] / 1e6:.0f} MB.\n"
    )


def _absent(result: dict) -> str:
    lines = [f"- {name}: {why}" for name, why in sorted(result["absent"].items())]
    return "## Left out\n\n" + "\n".join(lines) + "\n" if lines else ""


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
        place, ratio = batches.index(row["batch"]), row["speedup"]
        height = 0.8 / len(batches)
        whisker = [[ratio["median"] - ratio["q1"]], [ratio["q3"] - ratio["median"]]]
        axis.barh(
            names.index(row["runner"]) + (place + 0.5) * height - 0.4, ratio["median"], height * 0.9,
            color="#2456a6" if row["runner"].startswith("ONNX") else "#7a8496", alpha=1 - 0.45 * place,
            xerr=whisker, ecolor="#171d2b", error_kw={"lw": 0.8},
        )  # fmt: skip
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.axvline(1, color="#171d2b", lw=0.8)
