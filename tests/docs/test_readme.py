"""The README: short, its tree what is there, its tables what the figures say. All in the work tree."""

import json
import re
import shutil
from pathlib import Path

import pytest

from sightline.cli import readme_tables

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LAYOUT = re.search(r"^## Layout\n+```\n(.*?)^```", README, flags=re.S | re.M)[1].splitlines()
MOST_LINES = 150


def project(folder: Path) -> Path:
    """What the tables are made from, alone, in `folder`."""
    figures = [f"metrics/{name}.json" for name in ("summary", "cost", "domain", "flickr8k")]
    for name in (*figures, "README.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    (folder / readme_tables.RESULTS).parent.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", ["README.md", "docs/reports/results.md"])
def test_tables_are_made_from_the_figures(tmp_path, name):
    readme_tables.fill(project(tmp_path))
    assert (tmp_path / name).read_text(encoding="utf-8") == (ROOT / name).read_text(encoding="utf-8")


def test_a_readme_without_markers_is_refused_and_nothing_is_written(tmp_path):
    project(tmp_path)
    (tmp_path / "README.md").write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match="markers `table: results`"):
        readme_tables.fill(tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "no markers"
    assert not (tmp_path / readme_tables.RESULTS).exists()


def test_the_row_about_photos_is_the_mean_of_the_trainings():
    def training(value):
        cell = {"value": value, "low": value - 1, "high": value + 2}
        figures = dict.fromkeys((figure for _, figure in readme_tables.PHOTOS), cell)
        return {"summary": {"quality": {"shipped": {"test": figures}}}}

    table = readme_tables.photo_highlights({"7": training(30.0), "8": training(33.0)})
    # values 30 and 33, limits 29 and 32, 32 and 35
    assert table.splitlines()[-1] == "| Flickr8k |" + " 31.5 [30.5, 33.5] |" * len(readme_tables.PHOTOS)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= MOST_LINES


def test_the_rooms_of_the_readme_are_the_folders():
    named = [match[1] for line in LAYOUT if (match := re.match(r"  (\w+)/ ", line))]
    rooms = {path.parent.name for path in (ROOT / "src" / "sightline").glob("*/__init__.py")}
    assert len(named) == len(set(named)) and set(named) == rooms


def test_everything_else_in_the_tree_exists():
    top = [re.split(r"\s{2,}", line)[0] for line in LAYOUT if not line.startswith(" ")]
    names = [name for line in top for name in line.split()]
    assert len(names) > 10
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_dag_of_the_readme_names_every_stage():
    drawn = re.search(r"^## What one command builds\n+```\n(.*?)^```", README, flags=re.S | re.M)[1]
    stages = re.findall(r"^  (\w+):$", (ROOT / "dvc.yaml").read_text(encoding="utf-8"), flags=re.M)
    assert stages and [stage for stage in stages if stage not in drawn.split()] == []


def test_rows_of_calibration_and_of_pictures_from_outside():
    cell = {"value": 97.04, "low": 96.0, "high": 98.0}
    outside = {"name": "a.zip", "pictures": 8091, "own_pictures": 1000}
    outside |= {"warned": cell, "false_alarm": cell, "auroc": cell}
    summary = json.loads((ROOT / "metrics" / "summary.json").read_text(encoding="utf-8"))
    splits = list(summary["quality"]["shipped"])
    summary["edges"] = dict.fromkeys(splits, {"sure_accuracy": cell}) | {
        "test": {"sure_accuracy": cell, "domain_auroc": cell}
    }
    written = readme_tables.page(summary, outside, {})
    assert "| sure accuracy |" + " 97.0 [96.0, 98.0] |" * len(splits) in written
    assert "| domain auroc | 97.0 [96.0, 98.0] |" + " - |" * (len(splits) - 1) in written
    assert "8,091 of a.zip: 97.0 [96.0, 98.0] % get the out-of-domain warning" in written
    assert "Pictures from outside" not in readme_tables.page(summary, None, {})


def test_the_short_table_has_six_rows_of_the_shipped_variant():
    cell = {"value": 90.0, "low": 80.0, "high": 99.0}
    quality = {
        "shift": {"vqa_accuracy": cell},
        "test": dict.fromkeys(dict(readme_tables.HIGHLIGHTS).values(), cell),
    }
    lines = readme_tables.highlights({"quality": {"shipped": quality}}).splitlines()
    assert lines[0] == "| % | `test` | `shift` |" and len(lines) == 2 + 6
    assert lines[2] == "| short answers right | 90.0 [80.0, 99.0] | 90.0 [80.0, 99.0] |"
    assert lines[3].endswith("| 90.0 [80.0, 99.0] | - |")
