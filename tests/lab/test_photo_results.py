"""The page of the photo profile: figures of several trainings, from the summaries that they left."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sightline.core.artifacts import read_json, write_json
from sightline_lab.cli.main import app
from sightline_lab.photos import photo_results_page
from tests.support import params_files

ROOT = Path(__file__).resolve().parents[2]


def cell(value, half=1.0):
    return {"value": value, "low": value - half, "high": value + half, "loss_bound": half}


def summary(value, bound):
    quality = {key: cell(value) for _, key in photo_results_page.FIGURES}
    columns = ("majority", "blind", "fp32", "shipped")
    return {
        "quality": {variant: {"test": quality} for variant in ("fp32", "shipped")},
        "answers": {"all": dict.fromkeys(columns, value) | {"n": 5597}},
        "loss_bounds": {
            "vqa_accuracy": cell(0.0, bound) | {"n": 9}, "swapped": {"n": 0, "loss_bound": None}
        },
        "spin_on_minus_off": {"test": {"caption_chair_i": cell(value - 30)}},
        "shipped_variant": "int4",
        "cost": {"fp32": {"bytes": 75_400_000}, "shipped": {"bytes": 18_000_000}},
    }  # fmt: skip


def cost(**seconds):
    return {name: {"core_seconds": core, "peak_mib": 100} for name, core in seconds.items()}


@pytest.fixture
def checkouts(tmp_path):
    """Two checkouts of the profile flickr8k, seeds 7 and 8; the second took `download` from the cache."""
    made = []
    for seed, value, costs in (
        (8, 32.0, cost(align=500.0)),
        (7, 30.0, cost(download=6.0, align=480.0)),
    ):
        root = tmp_path / f"seed-{seed}"
        root.mkdir()
        weights = {"seed": seed, "vision.checkpoint": "lite.safetensors"}
        params_files.write(root, "flickr8k", weights)
        for path in (root / "metrics" / "summary.json", root / ".resume" / "cost" / "flickr8k.json"):
            path.parent.mkdir(parents=True)
        write_json(root / "metrics" / "summary.json", summary(value, bound=value / 100))
        write_json(root / ".resume" / "cost" / "flickr8k.json", costs)
        made.append(root)
    return made


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout to write to."""
    here = tmp_path / "project"
    shutil.copytree(ROOT / "profiles", here / "profiles")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, here / name)
    (here / "metrics").mkdir()
    monkeypatch.chdir(here)
    return here


def test_trainings_are_collected_a_seed_each_and_averaged(checkouts, project):
    for chosen in (checkouts[:1], checkouts[1:], checkouts[1:]):  # one again: it is replaced
        done = CliRunner().invoke(app, ["photo-results", *map(str, chosen)], catch_exceptions=False)
        assert done.exit_code == 0 and "flickr8k.json" in done.output
    result = read_json(project / photo_results_page.RESULT)
    assert list(result["trainings"]) == ["7", "8"]
    page = (project / photo_results_page.PAGE).read_text(encoding="utf-8")
    assert page == photo_results_page.page(result) and "2 trainings (seeds 7, 8)" in page
    # 30 and 32: mean 31, standard deviation sqrt(2); limits 29 and 31, 31 and 33
    both = "31.0 [30.0, 32.0] ± 1.4"
    assert f"| BLEU-4 | {both} | {both} |" in page
    assert "| caption chair i | +1.0 [+0.0, +2.0] ± 1.4 |" in page
    assert "| all | 5,597 | 31.0 | 31.0 | 31.0 | 31.0 |" in page
    assert "| vqa accuracy | 0.32 |" in page and "swapped" not in page  # the worse bound; nothing was asked
    assert "| download | 6 | 100 |" in page and "| align | 490 | 100 |" in page
    assert "| all | 496 | |" in page


def test_a_single_training_has_no_spread(checkouts, project):
    assert CliRunner().invoke(app, ["photo-results", str(checkouts[0])]).exit_code == 0
    page = (project / photo_results_page.PAGE).read_text(encoding="utf-8")
    assert "one training (seed 8)" in page and "| BLEU-4 | 32.0 [31.0, 33.0] |" in page and "±" not in page


def test_a_pretrained_text_encoder_stands_by_itself(checkouts, project):
    weights = {"seed": 7, "vision.checkpoint": "lite.safetensors", "text.checkpoint": "minilm"}
    params_files.write(checkouts[1], "flickr8k", weights | {"text.tower": "hf_idf_bag"})
    alone = CliRunner().invoke(app, ["photo-results", str(checkouts[1])])
    assert isinstance(alone.exception, photo_results_page.PhotoResultsError)
    assert "add a checkout" in str(alone.exception)
    written = (photo_results_page.PAGE, photo_results_page.RESULT)
    assert not any((project / path).exists() for path in written)
    done = CliRunner().invoke(app, ["photo-results", *map(str, checkouts)])
    assert done.exit_code == 0, done.output
    result = read_json(project / photo_results_page.RESULT)
    assert {text: list(seeds) for text, seeds in result.items()} == {
        "trainings": ["8"], "pretrained_text": ["7"]
    }  # fmt: skip
    page = (project / photo_results_page.PAGE).read_text(encoding="utf-8")
    own, pretrained = page.split("### With MiniLM beside the words")
    assert "| BLEU-4 | 32.0 [31.0, 33.0] | 32.0" in own and "One training (seed 7)" in pretrained
    assert "| BLEU-4 | 30.0 [29.0, 31.0] | 30.0" in pretrained


def test_another_profile_is_refused_and_nothing_is_written(checkouts, project):
    params_files.write(checkouts[1], "smoke")
    done = CliRunner().invoke(app, ["photo-results", *map(str, checkouts)])
    assert isinstance(done.exception, photo_results_page.PhotoResultsError)
    assert "profile smoke, expected flickr8k" in str(done.exception)
    weights = {"vision.checkpoint": "lite.safetensors", "text.checkpoint": "minilm", "pretrain.epochs": 0.0}
    params_files.write(checkouts[1], "flickr8k", weights | {"text.tower": "hf"})
    done = CliRunner().invoke(app, ["photo-results", *map(str, checkouts)])
    assert "text.tower is hf, but the page has idf_bag and hf_idf_bag" in str(done.exception)
    assert not (project / photo_results_page.RESULT).exists()
