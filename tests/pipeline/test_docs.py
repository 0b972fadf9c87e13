"""The README's tables are what the committed figures say, and the files it names exist."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from sightline.cli import readme_tables

ROOT = Path(__file__).resolve().parents[2]


def committed(name: str) -> str:
    """The file as committed: a rebuild here may change the figures, and `make docs` then the README."""
    done = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{name} is not committed"
    return done.stdout


def test_tables_are_made_from_the_committed_figures(tmp_path):
    (tmp_path / "metrics").mkdir()
    names = ["README.md", "metrics/summary.json", "metrics/cost.json"]
    listed = subprocess.run(["git", "ls-files", "metrics"], cwd=ROOT, capture_output=True, text=True).stdout
    names += [name for name in listed.split() if name == "metrics/domain.json"]
    for name in names:
        (tmp_path / name).write_text(committed(name), encoding="utf-8")
    readme_tables.fill(tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == committed("README.md")


def test_a_readme_without_markers_is_refused(tmp_path):
    (tmp_path / "metrics").mkdir()
    for name in ("metrics/summary.json", "metrics/cost.json"):
        (tmp_path / name).write_text(committed(name), encoding="utf-8")
    (tmp_path / "README.md").write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match="markers `table: results`"):
        readme_tables.fill(tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "no markers"


def test_linked_files_exist():
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (ROOT / target).exists(), f"{document} links {target}, which does not exist"


def test_edges_and_pictures_from_outside_have_their_rows():
    cell = {"value": 97.04, "low": 96.0, "high": 98.0}
    figures = {"test": {"sure_accuracy": cell, "domain_auroc": cell}, "novel": {"sure_accuracy": cell}}
    table = readme_tables.edges(figures, ["test", "novel"])
    assert "| sure accuracy | 97.0 [96.0, 98.0] | 97.0 [96.0, 98.0] |" in table
    assert "| domain auroc | 97.0 [96.0, 98.0] | - |" in table
    outside = {"name": "a.zip", "pictures": 8091, "own_pictures": 1000}
    outside |= {"warned": cell, "false_alarm": cell, "auroc": cell}
    summary = json.loads(committed("metrics/summary.json"))
    said = readme_tables.results(summary, outside)
    assert "8,091 of a.zip: 97.0 [96.0, 98.0] % get the out-of-domain warning" in said
    assert "Pictures from outside" not in readme_tables.results(summary, None)
