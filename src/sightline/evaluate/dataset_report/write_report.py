"""Analyses a corpus and writes the page, its pictures, the card and the figures."""

from pathlib import Path

from sightline.core import progress
from sightline.core.artifacts import write_json
from sightline.evaluate.dataset_report import corpus_statistics, dataset_card, dataset_figures, dataset_page
from sightline.evaluate.dataset_report.corpus import Corpus

FIGURES = "analysis.json"
WRITTEN = (
    *(f"{name}.png" for name in ("lengths", "zipf", "pairs", "across", "sheet")), "index.html", "data.md",
    FIGURES,
)  # fmt: skip


def run(corpus: Corpus, out: Path) -> dict:
    """Writes the files WRITTEN into `out`, the figures last, and returns the figures.

    What an earlier analysis left there under these names is removed first; other files stay.
    """
    with progress.step("measuring the data"):
        found, examples = corpus_statistics.measure(corpus), corpus_statistics.examples(corpus)
    out.mkdir(parents=True, exist_ok=True)
    for name in WRITTEN:
        (out / name).unlink(missing_ok=True)
    drawn = {"lengths": dataset_figures.lengths, "zipf": dataset_figures.zipf}
    if found["objects"]["splits"][found["base"]]["pairs"]:
        drawn["pairs"] = dataset_figures.pairs
    if found["objects"]["across"]:
        drawn["across"] = dataset_figures.across
    files = {name: out / f"{name}.png" for name in drawn}
    for name, draw in drawn.items():
        draw(files[name], found)
    if examples:
        dataset_figures.sheet(out / "sheet.png", examples)
    dataset_page.write(out / "index.html", found, examples, files)
    (out / "data.md").write_text(dataset_card.card(found), encoding="utf-8", newline="\n")
    write_json(out / FIGURES, found)
    return found
