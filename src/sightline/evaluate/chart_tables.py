"""The small CSV files behind the bars of `dvc plots diff`: one chart per topic, at most a dozen rows each.

Every row is a figure of the shipped variant as it answers by itself, in percent, with its 95 % interval:
`figure, value, low, high`. The first split (`test`, where it is measured) fills a chart; the others add their
main figures.
"""

from pathlib import Path

from sightline.evaluate import result_files

Row = dict[str, str]
Figure = tuple[str, str, str, str]  # label, family, type ("" takes any), metric
MOST = 12  # rows a chart
_DIRECTIONS = (("text to image", "text_to_image"), ("image to text", "image_to_text"))
_ORDERS = (("", ", R@1"), ("_reranked", ", reranked, R@1"), ("_described", ", described, R@1"))
CHARTS: dict[str, list[Figure]] = {
    "answers": [("short answers, all", "vqa", "all", "accuracy")],  # and every type of the first split
    "descriptions": [
        ("objects named", "chair", "", "recall"),
        ("BLEU-1", "caption", "describe", "bleu_1"),
        ("BLEU-4", "caption", "describe", "bleu_4"),
    ],
    "hallucination": [
        ("CHAIR_i, of objects named", "chair", "", "chair_i"),
        ("POPE adversarial, false yes", "pope", "adversarial", "false_positive_rate"),
        ("CHAIR_s, of descriptions", "chair", "", "chair_s"),
        ("POPE popular, false yes", "pope", "popular", "false_positive_rate"),
        ("POPE random, false yes", "pope", "random", "false_positive_rate"),
    ],
    "retrieval": [
        *((f"{name}, R@1", "retrieval", kind, "r1") for name, kind in _DIRECTIONS),
        *((f"{name}, R@{k}", "retrieval", kind, f"r{k}") for name, kind in _DIRECTIONS for k in (5, 10)),
        *(
            (name + label, "retrieval", kind + order, "r1")
            for name, kind in _DIRECTIONS
            for order, label in _ORDERS[1:]
        ),
    ],
    "calibration": [
        ("yes/no, expected calibration error", "calibration", "yes/no", "ece"),
        ("short answers, expected calibration error", "calibration", "short answers", "ece"),
        ("short answers, area under risk and coverage", "abstention", "short answers", "aurc"),
        ("own pictures warned about", "domain", "own pictures", "false_alarm"),
    ],
}
_MAIN = 2  # figures of a chart that the other splits add


def write(figures: dict[str, list[Row]], spin: str, folder: Path) -> None:
    """One file of CHARTS each, from the rows of every family's table (`metrics_report.read`) with SPIN as
    given, "off" or "on"."""
    rows = [
        row | {"family": family}
        for family, of_family in figures.items()
        for row in of_family
        if row["variant"] in ("shipped", "") and row["spin"] in ("", spin)
    ]
    splits = sorted(
        dict.fromkeys(row["split"] for row in figures["retrieval"]), key=lambda split: split != "test"
    )
    for name, chart_figures in CHARTS.items():
        types = _types(rows, splits[0]) if name == "answers" else []
        chart = [_read(rows, splits[0], figure, "") for figure in chart_figures + types]
        chart += [
            _read(rows, split, figure, f"{split}: ")
            for split in splits[1:]
            for figure in chart_figures[:_MAIN]
        ]
        lines = [row for row in chart if row][:MOST]
        result_files.write_csv(folder / f"{name}.csv", lines, ["figure", "value", "low", "high"])


def _types(rows: list[Row], split: str) -> list[Figure]:
    """The question types of short answers, in the table's order."""
    kinds = dict.fromkeys(
        row["type"]
        for row in rows
        if row["family"] == "vqa" and row["metric"] == "accuracy" and row["split"] == split
    )
    return [(kind, "vqa", kind, "accuracy") for kind in kinds if kind != "all"]


def _read(rows: list[Row], split: str, figure: Figure, prefix: str) -> Row | None:
    """The row of a chart, or None where the split has no such figure."""
    label, family, kind, metric = figure
    for row in rows:
        if (row["split"], row["family"], row["metric"]) == (split, family, metric) and kind in (
            "",
            row["type"],
        ):
            return {"figure": prefix + label, "value": row["value"], "low": row["low"], "high": row["high"]}
    return None
