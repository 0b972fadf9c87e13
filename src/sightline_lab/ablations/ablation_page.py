"""docs/ablations.md and its picture, from the committed result."""

from pathlib import Path

from sightline.core.artifacts import read_json
from sightline_lab.ablations import ablation_figures, ablation_summary


def write(checkout: Path, source: Path) -> None:
    """docs/ablations.md and docs/ablations.svg from the committed result."""
    result = read_json(checkout / source)
    (checkout / "docs" / "ablations.md").write_text(
        ablation_summary.page(result), encoding="utf-8", newline="\n"
    )
    ablation_figures.ablations(result, checkout / "docs" / "ablations.svg")
