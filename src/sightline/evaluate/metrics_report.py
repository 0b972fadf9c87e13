"""The report as Markdown tables, from the evaluation's tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightline.core import templates
from sightline.evaluate import metrics_summary, result_files
from sightline.evaluate.quality_gate import Check

Row = dict[str, str]
FAMILIES = ("vqa", "pope", "chair", "caption", "retrieval", "calibration", "abstention", "domain")
_COLUMNS = (
    "majority",
    "chance",
    "blind",
    metrics_summary.UNTUNED,
    "fp32 off",
    "fp32 on",
    "fp32",
    "shipped off",
    "shipped on",
    "shipped",
)
_LAST = "ceiling"


def read(evaluated: Path) -> dict[str, list[Row]]:
    """Rows of every family's table."""
    return {family: result_files.read_csv(evaluated / f"{family}.csv") for family in FAMILIES}


def markdown(
    figures: dict[str, list[Row]],
    paired: list[Row],
    summary: dict[str, Any],
    variants: list[Row],
    compressed: list[Row],
    checks: list[Check],
) -> str:
    """The whole report: what was left out, the gate's `checks`, one table per split and family, the paired
    comparisons (with a pretrained dual encoder before its tuning, too), then what each variant costs
    (`variants`: export's table, on validation questions; `compressed`: compress's)."""
    return templates.render(
        "sightline.evaluate", "report.md", summary=summary, variants=variants, compressed=compressed,
        checks=[check.line() for check in checks],
        families={
            family: {
                split: _table([row for row in rows if row["split"] == split])
                for split in dict.fromkeys(row["split"] for row in rows)
            }
            for family, rows in figures.items()
        },
        spin=[_difference(row) for row in paired if row["variant"]],
        shipped=[
            _difference(row)
            for row in paired
            if not row["variant"] and row["comparison"] != metrics_summary.TUNED_GAIN
        ],
        attacked=[_attack(name, figures) for name, figures in summary["red_team"].items()],
        tuned=[_difference(row) for row in paired if row["comparison"] == metrics_summary.TUNED_GAIN],
        plain=lambda rows: [row.values() for row in rows],
    )  # fmt: skip


def _table(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """Columns, one per variant and SPIN setting that has the family; a line per type and metric."""
    cells: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        cells.setdefault((row["type"], row["metric"]), {})[f"{row['variant']} {row['spin']}".strip()] = row
    used = [name for name in (*_COLUMNS, _LAST) if any(name in line for line in cells.values())]
    lines = []
    for (kind, metric), line in cells.items():
        sample_size = max(int(row["n"]) for row in line.values())
        lines.append([kind, metric, str(sample_size), *(_cell(line.get(name)) for name in used)])
    return used, lines


def _difference(row: Row) -> list[str]:
    bound = f"{float(row['loss_bound']):.1f}" if row["loss_bound"] else ""
    key = [row["split"], row["variant"] or "both", row["spin"], row["type"], row["metric"]]
    return [*key, _cell(row, sign="+"), bound, row["n"]]


def _attack(name: str, figures: dict[str, Any]) -> list[str]:
    """A line of the table of attacks."""
    family = name.replace("_", " ")
    if "not_tested" in figures:
        return [family, "0", f"not tested: {figures['not_tested']}", ""]
    controls = ", ".join(f"{label} {value:.1f}" for label, value in figures["controls"].items())
    return [family, str(figures["n"]), _cell(figures), controls]


def _cell(row: Mapping[str, Any] | None, sign: str = "") -> str:
    if row is None:
        return ""
    known = row["low"] != "" and row["high"] != ""
    interval = f" [{float(row['low']):.1f}, {float(row['high']):.1f}]" if known else ""
    return f"{float(row['value']):{sign}.1f}" + interval
