"""Analyses a corpus and writes the page, its pictures, the card and the figures."""

from pathlib import Path

from sightline.analyse import measure, page, pictures, summary
from sightline.analyse.corpus import Corpus
from sightline.artifacts import write_json

FIGURES = "analysis.json"
WRITTEN = (
    *(f"{name}.png" for name in ("lengths", "zipf", "pairs", "across", "sheet")), "index.html", "data.md",
    FIGURES,
)  # fmt: skip


def run(corpus: Corpus, out: Path) -> dict:
    """Writes the files WRITTEN into `out`, the figures last, and returns the figures.

    What an earlier analysis left there under these names is removed first; other files stay.
    """
    found, examples = measure.measure(corpus), measure.examples(corpus)
    out.mkdir(parents=True, exist_ok=True)
    for name in WRITTEN:
        (out / name).unlink(missing_ok=True)
    drawn = {"lengths": pictures.lengths, "zipf": pictures.zipf}
    if found["objects"]["splits"][found["base"]]["pairs"]:
        drawn["pairs"] = pictures.pairs
    if found["objects"]["across"]:
        drawn["across"] = pictures.across
    files = {name: out / f"{name}.png" for name in drawn}
    for name, draw in drawn.items():
        draw(files[name], found)
    if examples:
        pictures.sheet(out / "sheet.png", examples)
    page.write(out / "index.html", found, examples, files)
    (out / "data.md").write_text(summary.card(found), encoding="utf-8", newline="\n")
    write_json(out / FIGURES, found)
    return found
