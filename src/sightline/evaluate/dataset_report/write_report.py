"""Analyses a corpus and writes the page, its pictures, the card and the figures."""

from pathlib import Path

from sightline.core import artifacts, progress, replace_folder
from sightline.evaluate.dataset_report import corpus_statistics, dataset_card, dataset_figures, dataset_page
from sightline.evaluate.dataset_report.analysed_corpus import Corpus

KIND, FIGURES = "dataset_report", "analysis.json"
WRITTEN = (
    *(f"{name}.png" for name in ("lengths", "zipf", "pairs", "across", "sheet")), "index.html", "data.md",
    FIGURES,
)  # fmt: skip


def run(corpus: Corpus, out: Path) -> dict:
    """Write the report as an artifact at `out`, replacing an earlier one, and return its figures.

    Raises ArtifactError for a folder with other files.
    """
    replace_folder.check(out, KIND)
    with progress.step("measuring the data"):
        report, examples = corpus_statistics.measure(corpus), corpus_statistics.examples(corpus)
    with artifacts.create(out, KIND, {"base": report["base"]}) as folder:
        _write(folder, report, examples)
    return report


def _write(folder: Path, report: dict, examples: list[dict]) -> None:
    drawn = {"lengths": dataset_figures.lengths, "zipf": dataset_figures.zipf}
    if report["objects"]["splits"][report["base"]]["pairs"]:
        drawn["pairs"] = dataset_figures.pairs
    if report["objects"]["across"]:
        drawn["across"] = dataset_figures.across
    files = {name: folder / f"{name}.png" for name in drawn}
    for name, draw in drawn.items():
        draw(files[name], report)
    if examples:
        dataset_figures.sheet(folder / "sheet.png", examples)
    dataset_page.write(folder / "index.html", report, examples, files)
    (folder / "data.md").write_text(dataset_card.card(report), encoding="utf-8", newline="\n")
    artifacts.write_json(folder / FIGURES, report)
