"""The tab *Dashboard*: what the pipeline measured, read from the files that its stages wrote.

Nothing is computed here but layout. A missing file is reported, never filled in.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup

from sightline.core import artifacts
from sightline.serve.ui.ask_tab import PARTS, message
from sightline.serve.ui.svg_charts import Points, lines

MOST_POINTS = 160  # of a line: more are not seen
CURVES = (
    ("Words: masked prediction", "pretrain", (("loss", "loss"), ("val_token_accuracy", "tokens right, %"))),
    ("Pictures and words: alignment", "align", (("loss", "loss"), ("val_recall_at_1", "recall at 1, %"))),
    ("Questions: fine-tuning", "finetune/vlm", (("loss", "loss"), ("val_accuracy", "answers right, %"))),
)
HALLUCINATION = (
    ("chair", "chair_s", "Descriptions that name an absent object", False),
    ("chair", "chair_i", "Named objects that are absent", False),
    ("chair", "recall", "Present objects that are named", True),
    ("pope", "accuracy", "“Is there a …?” answered right", True),
    ("pope", "false_positive_rate", "Absent objects said to be there", False),
)


class Missing(ValueError):
    """A file of the pipeline that is not there or cannot be read."""


def draw(checkout: Path | None) -> str:
    """The whole tab. Without a checkout, or without what a stage writes, it says so."""
    if checkout is None:
        return message(
            "The figures lie beside the pipeline that built the model: run `sightline serve` from inside "
            "that checkout to see them."
        )
    sections = (
        ("At a glance", _tiles, "dvc repro"),
        ("The gate", _gate, "dvc repro"),
        ("Training", _training, "dvc repro"),
        ("Hallucination, without and with SPIN", _hallucination, "dvc repro"),
        ("Does it know when it is right?", _trust, "dvc repro"),
        ("Are its explanations true?", _explanations, "sightline lab faithfulness"),
        ("Search", _search, "dvc repro"),
        ("Cost", _cost, "dvc repro"),
    )
    return Markup().join(_section(*section, checkout) for section in sections)


def _section(title: str, make: Callable[[Path], str], writer: str, checkout: Path) -> str:
    try:
        body = make(checkout)
    except Missing as error:
        body = message(f"Not here yet: {error}. `{writer}` writes it.")
    return PARTS.section(title, body)


def _tiles(checkout: Path) -> str:
    path = checkout / "metrics" / "summary.json"
    summary = _json(path)
    try:
        cost, quality = summary["cost"]["shipped"], summary["quality"]["shipped"]["test"]
        tiles = []
        if "all" in summary["answers"]:
            answers = summary["answers"]["all"]
            tiles += [
                (f"{answers['shipped']:.1f} %", f"of {answers['n']} short answers right"),
                (f"{answers['blind']:.1f} %", "right without seeing the picture"),
            ]
        if "chair_i" in quality:
            tiles.append((f"{quality['chair_i']['value']:.1f} %", "of named objects are not there"))
        tiles += [
            (f"{quality['image_to_text_r1']['value']:.1f} %", "of pictures find their caption first"),
            (f"{cost['bytes'] / 1e6:.1f} MB", f"shipped model ({summary['shipped_variant']})"),
        ]
    except (KeyError, TypeError) as error:
        raise Missing(f"{error} in {path.name}") from error
    return PARTS.tiles(tiles)


def _gate(checkout: Path) -> str:
    """Every check of the gate; None is what so few pictures cannot tell."""
    gate = _json(checkout / "metrics" / "gate" / "gate.json")
    outcomes = {True: "passed", False: "failed", None: "not tested"}
    try:
        body = [
            (
                (check["figure"], check.get("note") or f"n = {check['n']}, {check['needed']} needed"),
                [
                    "" if check["value"] is None else f"{check['value']:.6g}",
                    f"{check['side']} {check['limit']:.6g}",
                    outcomes[check["passed"]],
                ],
                {True: "good", False: "bad", None: ""}[check["passed"]],
            )
            for check in gate["checks"]
        ]
    except (KeyError, TypeError) as error:
        raise Missing(f"{error} in gate.json") from error
    return PARTS.table(["", "measured", "must be", "outcome"], body)


def _training(checkout: Path) -> str:
    charts, absent = [], []
    for title, folder, wanted in CURVES:
        here = checkout / "plots" / folder / "plots" / "metrics"
        drawn = []
        for name, label in wanted:
            series = {"this model": _curve(here / f"{name}.tsv")}
            if folder == "finetune/vlm":
                series["without the picture"] = _curve(
                    checkout / "plots" / "finetune" / "blind" / "plots" / "metrics" / f"{name}.tsv"
                )
            series = {key: points for key, points in series.items() if points}
            if series:
                drawn.append(lines(series, "step", label))
            else:
                absent.append(f"plots/{folder} has no {name}")
        if drawn:
            charts.append(PARTS.charts(drawn, title))
    if not charts:
        raise Missing("the training curves in plots")
    if absent:
        charts.append(message("Not here: " + ", ".join(absent) + "."))
    return Markup().join(charts)


def _hallucination(checkout: Path) -> str:
    rows = {name: _csv(checkout / "metrics" / "evaluate" / f"{name}.csv") for name in ("chair", "pope")}
    body = []
    for file, metric, label, more_is_better in HALLUCINATION:
        variant_rows = [row for row in rows[file] if row["metric"] == metric and row["variant"] == "shipped"]
        kind = "adversarial" if any(row["type"] == "adversarial" for row in variant_rows) else None
        for split in ("test", "shift_test"):
            off, on = (
                next((row for row in variant_rows if row["split"] == split and row["spin"] == spin
                      and kind in (None, row["type"])), None)
                for spin in ("off", "on")
            )  # fmt: skip
            if off and on:
                change = float(on["value"]) - float(off["value"])
                good = "" if abs(change) < 0.05 else "good" if (change > 0) == more_is_better else "bad"
                name = label, "test" if split == "test" else "shifted test"
                body.append((name, [_interval(off), _interval(on), f"{change:+.1f}"], good))
    if not body:
        raise Missing("rows of the shipped model with SPIN off and on")
    return PARTS.table(
        ["", "SPIN off", "SPIN on", "change"],
        body,
        "Percent, with 95 % intervals; questions about absent objects are the adversarial ones (things often "
        "seen together).",
    )


def _interval(row: dict[str, str]) -> tuple[str, str]:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    return f"{value:.1f}", f"{low:.1f} to {high:.1f}"


def _trust(checkout: Path) -> str:
    bins = _csv(checkout / "plots" / "evaluate" / "reliability.csv")
    kept = _csv(checkout / "plots" / "evaluate" / "abstention.csv")
    calibration = {"answers": [(float(row["confidence"]), float(row["accuracy"])) for row in bins]}
    abstention = {"answers": [(float(row["coverage"]), float(row["accuracy"])) for row in kept]}
    if not bins or not kept:
        raise Missing("rows in reliability.csv and abstention.csv")
    honest = lines(
        calibration, "confidence, %", "Right at this confidence, % (dashed: honest)", diagonal=True
    )
    return PARTS.charts(
        [honest, lines(abstention, "answered, most confident first, %", "Right among the answered, %")]
    )


def _explanations(checkout: Path) -> str:
    """Every explanation method: pointing game, and deletion and insertion of its strongest pixels."""
    faithfulness = _json(checkout / "metrics" / "faithfulness.json")
    try:
        methods = sorted(faithfulness["methods"].items(), key=lambda entry: -entry[1]["pointing"])
        body = [_method(name, row) for name, row in methods]
    except (KeyError, TypeError, IndexError) as error:
        raise Missing(f"{error} in faithfulness.json") from error
    return PARTS.table(
        [
            "", "points at the object", "of the map in its box", "deletion: lower is better",
            "insertion: higher is better",
        ],
        body,
        Markup(
            "Percent; where the answer is known to be right and the box of its object known. Random and "
            "centre gaussian are controls. <code>docs/reports/explanations.md</code> says how to read it; "
            "<code>sightline lab faithfulness</code> measures it anew."
        ),
    )  # fmt: skip


def _method(name: str, row: dict) -> tuple:
    pointing, low, high, mass, deletion, insertion = (
        f"{100 * value:.1f}"
        for value in (
            row["pointing"], *row["pointing_interval"], row["mass_inside"], row["deletion_mean"],
            row["insertion_mean"],
        )
    )  # fmt: skip
    title = name.replace("_", " "), f"{row['n']} answers"
    return title, [(pointing, f"{low} to {high}"), mass, deletion, insertion], None


def _search(checkout: Path) -> str:
    rows = [row for row in _csv(checkout / "metrics" / "evaluate" / "retrieval.csv")
            if row["variant"] == "shipped" and row["split"] == "test"]  # fmt: skip
    ranks, names = ("r1", "r5", "r10"), {"image_to_text": "Picture finds its words",
                                        "text_to_image": "Words find their picture"}  # fmt: skip
    body = []
    for kind, label in names.items():
        by_metric = {row["metric"]: row for row in rows if row["type"] == kind}
        if all(rank in by_metric for rank in ranks):
            body.append((label, [_interval(by_metric[rank]) for rank in ranks], None))
    if not body:
        raise Missing("recall of the shipped model in retrieval.csv")
    return PARTS.table(["", "first", "in 5", "in 10"], body)


def _cost(checkout: Path) -> str:
    costs = _json(checkout / "metrics" / "cost.json")
    parts = []
    for profile, cost in costs.items():
        try:
            stages = cost["stages"]
            wall = sum(stage["wall_seconds"] for stage in stages.values())
            rows = [
                (
                    name,
                    [f"{stage[key]:.0f} s" for key in ("wall_seconds", "core_seconds")]
                    + [f"{stage['peak_mib']} MiB"],
                    None,
                )
                for name, stage in sorted(stages.items(), key=lambda pair: -pair[1]["wall_seconds"])
            ]
        except (KeyError, TypeError) as error:
            raise Missing(f"{error} in cost.json") from error
        parts.append(PARTS.profile(profile, wall / 60, cost["disk_gib"], rows))
    if not parts:
        raise Missing("a measured profile in cost.json")
    return Markup().join(parts)


def _curve(path: Path) -> Points:
    """(step, value) of a curve, thinned; empty where it was never written."""
    if not path.is_file():
        return []
    points: list[tuple[float, float]] = []
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        try:
            step, value = (float(part) for part in line.split("\t"))
        except ValueError:
            continue  # a line that is just being written
        points.append((step, value))
    stride = -(-len(points) // MOST_POINTS) or 1
    return points[::stride]


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise Missing(f"{path.parent.parent.name}/{path.parent.name}/{path.name}") from error


def _json(path: Path) -> dict:
    try:
        return artifacts.read_json(path)
    except (OSError, json.JSONDecodeError, ValueError) as error:
        raise Missing(f"{path.parent.name}/{path.name}") from error
