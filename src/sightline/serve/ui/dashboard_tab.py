"""The tab *Dashboard*: what the pipeline measured, read from the files that its stages wrote.

Nothing is computed here but layout. A file that is not there is said, never filled in.
"""

import csv
import json
from collections.abc import Callable
from html import escape
from pathlib import Path

from sightline.core import artifacts
from sightline.serve.ui.ask_tab import message
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
        ("Training", _training, "dvc repro"),
        ("Hallucination, without and with SPIN", _hallucination, "dvc repro"),
        ("Does it know when it is right?", _trust, "dvc repro"),
        ("Are its explanations true?", _explanations, "sightline lab faithfulness"),
        ("Search", _search, "dvc repro"),
        ("Cost", _cost, "dvc repro"),
    )
    return "".join(_section(*section, checkout) for section in sections)


def _section(title: str, make: Callable[[Path], str], writer: str, checkout: Path) -> str:
    try:
        body = make(checkout)
    except Missing as error:
        body = message(f"Not here yet: {error}. `{writer}` writes it.")
    return f'<section class="sl-section"><h3 class="sl-title">{escape(title)}</h3>{body}</section>'


def _tiles(checkout: Path) -> str:
    path = checkout / "metrics" / "summary.json"
    found = _json(path)
    try:
        answers, cost = found["answers"]["all"], found["cost"]["shipped"]
        quality = found["quality"]["shipped"]["test"]
        tiles = [
            (f"{answers['shipped']:.1f} %", f"of {answers['n']} short answers right"),
            (f"{answers['blind']:.1f} %", "right without seeing the picture"),
            (f"{quality['chair_i']['value']:.1f} %", "of named objects are not there"),
            (f"{quality['image_to_text_r1']['value']:.1f} %", "of pictures find their caption first"),
            (f"{cost['bytes'] / 1e6:.1f} MB", f"shipped model ({found['shipped_variant']})"),
        ]
    except (KeyError, TypeError) as error:
        raise Missing(f"{error} in {path.name}") from error
    cells = "".join(f"<div><b>{escape(big)}</b><span>{escape(small)}</span></div>" for big, small in tiles)
    return f'<div class="sl-tiles">{cells}</div>'


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
            charts.append(f'<h4>{escape(title)}</h4><div class="sl-charts">{"".join(drawn)}</div>')
    if not charts:
        raise Missing("the training curves in plots")
    return "".join(charts) + (message("Not here: " + ", ".join(absent) + ".") if absent else "")


def _hallucination(checkout: Path) -> str:
    rows = {name: _csv(checkout / "metrics" / "evaluate" / f"{name}.csv") for name in ("chair", "pope")}
    body = []
    for file, metric, label, more_is_better in HALLUCINATION:
        found = [row for row in rows[file] if row["metric"] == metric and row["variant"] == "shipped"]
        kind = "adversarial" if any(row["type"] == "adversarial" for row in found) else None
        for split in ("test", "shift_test"):
            off, on = (
                next((row for row in found if row["split"] == split and row["spin"] == spin
                      and kind in (None, row["type"])), None)
                for spin in ("off", "on")
            )  # fmt: skip
            if off and on:
                change = float(on["value"]) - float(off["value"])
                good = "" if abs(change) < 0.05 else "good" if (change > 0) == more_is_better else "bad"
                body.append(
                    f"<tr><th>{escape(label)}<small>{'test' if split == 'test' else 'shifted test'}"
                    f"</small></th>{_interval(off)}{_interval(on)}"
                    f'<td class="{good}">{change:+.1f}</td></tr>'
                )
    if not body:
        raise Missing("rows of the shipped model with SPIN off and on")
    head = "<tr><th></th><th>SPIN off</th><th>SPIN on</th><th>change</th></tr>"
    return (
        f'<div class="sl-scroll"><table class="sl-table">{head}{"".join(body)}</table></div>'
        '<p class="sl-facts">Percent, with 95 % intervals; questions about absent objects are the '
        "adversarial ones (things often seen together).</p>"
    )


def _interval(row: dict[str, str]) -> str:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    return f"<td>{value:.1f}<small>{low:.1f} to {high:.1f}</small></td>"


def _trust(checkout: Path) -> str:
    bins = _csv(checkout / "plots" / "evaluate" / "reliability.csv")
    kept = _csv(checkout / "plots" / "evaluate" / "abstention.csv")
    calibration = {"answers": [(float(row["confidence"]), float(row["accuracy"])) for row in bins]}
    abstention = {"answers": [(float(row["coverage"]), float(row["accuracy"])) for row in kept]}
    if not bins or not kept:
        raise Missing("rows in reliability.csv and abstention.csv")
    return (
        '<div class="sl-charts">'
        + lines(calibration, "confidence, %", "Right at this confidence, % (dashed: honest)", diagonal=True)
        + lines(abstention, "answered, most confident first, %", "Right among the answered, %")
        + "</div>"
    )


def _explanations(checkout: Path) -> str:
    """Every way of explaining: where it points, and what taking away its strongest pixels costs."""
    found = _json(checkout / "metrics" / "faithfulness.json")
    try:
        body = "".join(
            f"<tr><th>{escape(name.replace('_', ' '))}<small>{row['n']} answers</small></th>"
            f"<td>{100 * row['pointing']:.1f}<small>{100 * row['pointing_interval'][0]:.1f} to "
            f"{100 * row['pointing_interval'][1]:.1f}</small></td>"
            f"<td>{100 * row['mass_inside']:.1f}</td><td>{100 * row['deletion_mean']:.1f}</td>"
            f"<td>{100 * row['insertion_mean']:.1f}</td></tr>"
            for name, row in sorted(found["methods"].items(), key=lambda entry: -entry[1]["pointing"])
        )
    except (KeyError, TypeError, IndexError) as error:
        raise Missing(f"{error} in faithfulness.json") from error
    head = (
        "<tr><th></th><th>points at the object</th><th>of the map in its box</th>"
        "<th>deletion: lower is better</th><th>insertion: higher is better</th></tr>"
    )
    return (
        f'<div class="sl-scroll"><table class="sl-table">{head}{body}</table></div>'
        '<p class="sl-facts">Percent; where the answer is known to be right and the box of its object known. '
        "Random and centre gaussian are controls. <code>docs/reports/explanations.md</code> says how to read "
        "it; "
        "<code>sightline lab faithfulness</code> measures it anew.</p>"
    )


def _search(checkout: Path) -> str:
    rows = [row for row in _csv(checkout / "metrics" / "evaluate" / "retrieval.csv")
            if row["variant"] == "shipped" and row["split"] == "test"]  # fmt: skip
    ranks, names = ("r1", "r5", "r10"), {"image_to_text": "Picture finds its words",
                                        "text_to_image": "Words find their picture"}  # fmt: skip
    body = []
    for kind, label in names.items():
        found = {row["metric"]: row for row in rows if row["type"] == kind}
        if all(rank in found for rank in ranks):
            cells = "".join(_interval(found[rank]) for rank in ranks)
            body.append(f"<tr><th>{label}</th>{cells}</tr>")
    if not body:
        raise Missing("recall of the shipped model in retrieval.csv")
    head = "<tr><th></th><th>first</th><th>in 5</th><th>in 10</th></tr>"
    return f'<div class="sl-scroll"><table class="sl-table">{head}{"".join(body)}</table></div>'


def _cost(checkout: Path) -> str:
    costs = _json(checkout / "metrics" / "cost.json")
    parts = []
    for profile, cost in costs.items():
        try:
            stages = cost["stages"]
            wall = sum(stage["wall_seconds"] for stage in stages.values())
            rows = "".join(
                f"<tr><th>{escape(name)}</th><td>{stage['wall_seconds']:.0f} s</td>"
                f"<td>{stage['core_seconds']:.0f} s</td><td>{stage['peak_mib']} MiB</td></tr>"
                for name, stage in sorted(stages.items(), key=lambda pair: -pair[1]["wall_seconds"])
            )
        except (KeyError, TypeError) as error:
            raise Missing(f"{error} in cost.json") from error
        parts.append(
            f"<details><summary>Profile <b>{escape(profile)}</b>: built in {wall / 60:.1f} min, "
            f"{cost['disk_gib']:.2f} GiB</summary>"
            f'<div class="sl-scroll"><table class="sl-table"><tr><th>stage</th><th>wall</th><th>cores</th>'
            f"<th>memory</th></tr>{rows}</table></div></details>"
        )
    if not parts:
        raise Missing("a measured profile in cost.json")
    return "".join(parts)


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
