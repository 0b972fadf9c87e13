"""docs/reports/search.md, .csv and .svg: the experiments of a search, best first."""

import csv
from pathlib import Path

from sightline.cli import readme_tables
from sightline_lab.experiments import experiment_figures
from sightline_lab.experiments.experiment_table import METRIC, Search, markdown


def write(checkout: Path, search: Search) -> None:
    """docs/reports/search.csv, docs/reports/search.svg and the table in docs/reports/search.md."""
    docs = checkout / "docs" / "reports"
    with (docs / "search.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["experiment", *search.params, METRIC], lineterminator="\n")
        table.writeheader()
        table.writerows(search.runs)
    page = docs / "search.md"
    text = readme_tables.put(page.read_text(encoding="utf-8"), "search", markdown(search), page.name)
    page.write_text(text, encoding="utf-8", newline="\n")
    experiment_figures.draw(search, METRIC, docs / "search.svg")
