"""The page of `dvc plots diff`: what dvc.yaml draws, through the real DVC, in a clone that nothing set up."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / ".dvc" / "page.html"
PLOTS = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
CHARTS = {name: chart for plot in PLOTS if isinstance(plot, dict) for name, chart in plot.items()}
SECTIONS = ["Short answers", "Descriptions", "Hallucination", "Retrieval", "Calibration", "Training"]


def files(chart: dict) -> list[str]:
    return list(chart["y"]) if isinstance(chart["y"], dict) else []


def test_every_chart_has_a_section_and_a_template_of_the_repository():
    assert list(dict.fromkeys(chart["title"].split(": ")[0] for chart in CHARTS.values())) == SECTIONS
    assert all((ROOT / ".dvc" / "plots" / f"{chart['template']}.json").is_file() for chart in CHARTS.values())


def test_a_loss_chart_is_of_one_stage():
    losses = {name: files(chart) for name, chart in CHARTS.items() if name.startswith("loss of ")}
    assert set(losses) == {"loss of pretrain", "loss of align", "loss of finetune"}
    for name, paths in losses.items():
        assert {Path(path).parts[1] for path in paths} == {name.removeprefix("loss of ")}


def test_the_page_is_in_the_repository_and_asks_nobody_for_anything():
    ignored = subprocess.run(["git", "check-ignore", "-q", "--no-index", ".dvc/page.html"], cwd=ROOT)
    assert ignored.returncode == 1
    text = PAGE.read_text(encoding="utf-8")
    assert "{plot_divs}" in text and "{scripts}" not in text
    assert not re.search(r"<script[^>]+src|<link|@import|url\(|fetch\(|import\(", text)
    assert PAGE.stat().st_size < 30_000


@pytest.fixture
def clone(tmp_path) -> Path:
    """A repository with the plots of dvc.yaml and two revisions of their files, `main` and `other`."""
    for name in ("page.html", "config", "plots"):
        copy = shutil.copytree if (ROOT / ".dvc" / name).is_dir() else shutil.copyfile
        (tmp_path / ".dvc").mkdir(exist_ok=True)
        copy(ROOT / ".dvc" / name, tmp_path / ".dvc" / name)
    YAML().dump({"plots": PLOTS}, tmp_path / "dvc.yaml")
    run(tmp_path, "git", "init", "-q", "-b", "main", ".")
    for revision, value in (("main", 90), ("other", 80)):
        write_plots(tmp_path, value)
        run(tmp_path, "git", "add", "-A")
        run(tmp_path, "git", "commit", "-qm", revision)
        run(tmp_path, "git", "tag", f"rev-{revision}")
    return tmp_path


def write_plots(repo: Path, value: int) -> None:
    for name, chart in CHARTS.items():
        if paths := files(chart):
            for path in paths:
                put(repo / path, f"{chart['x']}\t{chart['y'][path]}\n0\t{value}\n10\t{value / 2}\n")
        else:
            row = {"value": f"{value}", "figure": f"a {name}"} if chart["template"] == "bars" else {}
            cells = [row.get(chart[axis], f"{value}") for axis in ("x", "y")]
            put(repo / name, f"{chart['x']},{chart['y']},low,high\n{','.join(cells)},1,99\n")
    pictures = repo / "plots" / "explain" / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "docs" / "reports" / "pairs.png", pictures / "one.png")


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"] if command[0] == "git" else []
    done = subprocess.run([command[0], *identity, *command[1:]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_revisions_make_a_page_with_every_chart_and_picture(clone):
    run(clone, "dvc", "plots", "diff", "rev-main", "rev-other", "-o", "page")
    page = (clone / "page" / "index.html").read_text(encoding="utf-8")
    specs = [json.loads(found) for found in re.findall(r"var spec = (\{.*?\});\n", page)]
    assert sorted(spec["title"] for spec in specs) == sorted(chart["title"] for chart in CHARTS.values())
    for spec in specs:
        assert spec["usermeta"]["chart"] in ("bars", "lines", "confusion")
        points, meta = spec["data"]["values"], spec["usermeta"]
        assert {point["rev"] for point in points} == {"rev-main", "rev-other"}
        assert all(meta["x"] in point and meta["y"] in point for point in points)
    bars = [spec["data"]["values"] for spec in specs if spec["usermeta"]["chart"] == "bars"]
    assert bars and all({"low", "high"} <= set(points[0]) for points in bars)
    assert page.count("<img src=") == 2
