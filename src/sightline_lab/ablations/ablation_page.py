"""docs/reports/ablations.md and its picture, from the committed result."""

from pathlib import Path

from sightline.core.artifacts import read_json
from sightline_lab.ablations import ablation_figures, ablation_summary


def write(checkout: Path, source: Path) -> None:
    """docs/reports/ablations.md and docs/reports/ablations.svg from the committed result."""
    result = read_json(checkout / source)
    (checkout / "docs" / "reports" / "ablations.md").write_text(
        ablation_summary.page(result), encoding="utf-8", newline="\n"
    )
    ablation_figures.ablations(result, checkout / "docs" / "reports" / "ablations.svg")
