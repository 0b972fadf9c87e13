"""The report as Markdown tables, from the evaluation's tables."""

from pathlib import Path
from typing import Any

from sightline.evaluate import result_files

Row = dict[str, str]
FAMILIES = ("vqa", "pope", "chair", "caption", "retrieval", "calibration", "abstention", "domain")
_COLUMNS = (
    "majority",
    "chance",
    "blind",
    "fp32 off",
    "fp32 on",
    "fp32",
    "shipped off",
    "shipped on",
    "shipped",
)
_LAST = "ceiling"
_TITLES = {
    "vqa": "Answers: accuracy by question type, percent",
    "pope": "POPE: polling for present and absent objects, percent",
    "chair": "Descriptions: hallucinated objects",
    "caption": "Descriptions: likeness to the reference captions",
    "retrieval": "Caption retrieval, percent",
    "calibration": "Calibration: what confidences are worth, percent",
    "abstention": "Abstention: what not answering gains, percent",
    "domain": "Out of domain: pictures that get a warning, percent",
}
_NOTES = {
    "vqa": "Majority: the most frequent answer of train. Blind: the same decoder, trained without pictures.",
    "pope": "`invalid` answers hold neither yes nor no and count as wrong. mcc: 100 times the coefficient.",
    "chair": "CHAIR against scene truth; rows named caption-CHAIR: against what the photos' captions name. "
    "recall: present objects that are named; words: per answer.",
    "caption": "BLEU of the whole corpus, percent; CIDEr-D in hundredths. References: every caption of a "
    "photo, the full description of a scene.",
    "calibration": "ece: expected calibration error, 15 bins; confidence: its mean; brier: squared error. "
    "before: without the temperature, which only the shipped variant has.",
    "abstention": "aurc: area under the risk-coverage curve; accuracy_at_n: of the surest n percent of "
    "answers. sure: above the shipped bound; coverage: the share of such answers.",
    "domain": "false_alarm: of the data's own pictures; warned: of pictures drawn for this test; auroc: how "
    "well their scores are separated.",
    "retrieval": "Ties count against us. Ceiling: an oracle that knows all captions; equal ones limit it.",
}


def read(evaluated: Path) -> dict[str, list[Row]]:
    """Rows of every family's table."""
    return {family: result_files.read_csv(evaluated / f"{family}.csv") for family in FAMILIES}


def markdown(
    figures: dict[str, list[Row]],
    paired: list[Row],
    summary: dict[str, Any],
    variants: list[Row],
    compressed: list[Row],
) -> str:
    """The whole report: one table per split and family, the paired comparisons, then what each variant costs
    (`variants`: export's table, on validation questions; `compressed`: compress's)."""
    cost, parity = summary["cost"], summary["parity"]
    parts = [
        "# Report",
        f"Shipped variant: **{summary['shipped_variant']}**, {_cost(cost['shipped'])} a question, against "
        f"{_cost(cost['fp32'])} of fp32. Largest logit difference between PyTorch and fp32 ONNX: "
        f"{parity['max_logit_difference']:.1e} over {parity['items']} items.",
        "Brackets: 95 % bootstrap interval, clustered by image. `off` and `on`: SPIN off, SPIN on.",
    ]
    for family, rows in figures.items():
        parts += [f"## {_TITLES[family]}", _NOTES[family]]
        for split in dict.fromkeys(row["split"] for row in rows):
            parts += [f"### {split}", _table([row for row in rows if row["split"] == split])]
    parts += ["## SPIN on minus off, same questions", _paired([r for r in paired if r["variant"]])]
    parts += ["## Shipped minus fp32, same questions", _paired([r for r in paired if not r["variant"]])]
    parts += ["## Does the shipped variant answer for the same reasons?", _maps(summary["maps"])]
    parts += ["## Variants, on validation questions", _plain(variants)]
    parts += ["## Compression: before, cut, after recovery", _plain(compressed)]
    return "\n\n".join(parts) + "\n"


def _maps(maps: dict[str, Any]) -> str:
    """How the explanations of both variants agree."""
    if not maps["n"]:
        return "No answer to compare."
    said = (
        f"Maps of `{maps['method']}` over the same {maps['n']} answers: mean rank correlation "
        f"{maps['rank_correlation']:.3f} between fp32 and the shipped variant."
    )
    if not maps["pointed"]:
        return said
    fp32, shipped = (100 * maps[f"pointing_{variant}"] for variant in ("fp32", "shipped"))
    return said + (
        f" The strongest place lies in the true box in {fp32:.1f} % (fp32) and {shipped:.1f} % (shipped) of "
        f"the {maps['pointed']} right ones with a known box."
    )


def _cost(figures: dict[str, int]) -> str:
    return f"{figures['bytes'] / 1e6:.2f} MB and {figures['macs'] / 1e6:.1f} million multiply-accumulates"


def _table(rows: list[Row]) -> str:
    """One line per type and metric, one column per variant and SPIN setting that has the family."""
    cells: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        cells.setdefault((row["type"], row["metric"]), {})[f"{row['variant']} {row['spin']}".strip()] = row
    used = [name for name in (*_COLUMNS, _LAST) if any(name in line for line in cells.values())]
    lines = [_line(["type", "figure", "n", *used]), _line(["---"] * 2 + ["---:"] * (len(used) + 1))]
    for (kind, metric), line in cells.items():
        asked = max(int(row["n"]) for row in line.values())
        lines.append(_line([kind, metric, str(asked), *(_cell(line.get(name)) for name in used)]))
    return "\n".join(lines)


def _plain(rows: list[Row]) -> str:
    """A table as it is."""
    return "\n".join(
        [_line(list(rows[0])), _line(["---"] * len(rows[0])), *(_line(list(row.values())) for row in rows)]
    )


def _paired(rows: list[Row]) -> str:
    if not rows:
        return "No comparison."
    lines = [_line(["split", "variant", "SPIN", "type", "figure", "difference", "loss below", "n"])]
    lines.append(_line(["---"] * 5 + ["---:"] * 3))
    for row in rows:
        bound = f"{float(row['loss_bound']):.1f}" if row["loss_bound"] else ""
        who = [row["split"], row["variant"] or "both", row["spin"], row["type"], row["metric"]]
        lines.append(_line([*who, _cell(row, sign="+"), bound, row["n"]]))
    return "\n".join(lines)


def _cell(row: Row | None, sign: str = "") -> str:
    if row is None:
        return ""
    interval = f" [{float(row['low']):.1f}, {float(row['high']):.1f}]" if row["low"] and row["high"] else ""
    return f"{float(row['value']):{sign}.1f}" + interval


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
