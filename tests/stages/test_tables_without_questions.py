"""The real stages on a table of twelve rows without a short question: with a decoder, and search alone."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from sightline.core.artifacts import load, read_json
from tests.support import params_files, stage_runs

SMALL = {
    "launch": "python", "data.path": "items.csv", "data.pictures": "pictures", "data.image_side": 32,
    "convert.vocab_size": 200, "convert.min_frequency": 1, "text.width": 16, "text.layers": 1,
    "text.heads": 2, "vision.image_size": 32, "vision.width": 16, "align.epochs": 1,
    "align.min_steps": 0, "finetune.min_steps": 0,
    "align.embed_dim": 16, "align.words": 8, "align.fusion_width": 16, "align.matching_samples": 4,
    "finetune.width": 16, "finetune.heads": 2, "generation.method": "greedy",
    "generation.beams": 1, "export.calibration_items": 4, "export.parity_items": 2, "export.max_flips": 100.0,
    "explain.items": 1, "evaluate.bootstrap": 20, "red_team.items": 4,
}  # fmt: skip
SEARCHING = ("convert", "pretrain", "align", "finetune", "compress", "export", "index", "explain", "evaluate",
             "red_team", "report", "gate")  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twelve products whose names no lexicon knows."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "pictures").mkdir()
    draw = np.random.default_rng(0)
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "caption", "split"])
        for number in range(12):
            name = f"sluk {'abcdefghijkl'[number]}nelf brop"
            pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / f"{number}.png")
            split = "val" if number == 1 else "test" if number == 2 else "train"
            writer.writerow([number, f"{number}.png", name, split])
    return folder


@pytest.mark.parametrize("epochs", [1.0, 0.0])
def test_a_table_without_short_questions_is_built_and_passes(table, tmp_path, epochs):
    here = tmp_path / "own"
    shutil.copytree(table, here)
    params_files.write(here, "own", {**SMALL, "finetune.epochs": epochs})
    said = stage_runs.run(here, "download", *SEARCHING)
    assert "no short questions" in said and "trains in batches of 10, not 64" in said
    gate = read_json(here / "metrics" / "gate" / "gate.json")
    assert gate["passed"] and {check["passed"] for check in gate["checks"]} <= {True, None}
    bundle = load(here / "models" / "bundle", "bundle")
    assert any("no short questions" in sentence for sentence in bundle.config["left_out"])
    assert "no short questions" in (here / "metrics" / "report" / "report.md").read_text()
    graphs = {path.stem for path in (bundle.path / "onnx").glob("*.onnx")}
    assert ("decoder" in graphs) == (epochs > 0) and {"image_encoder", "text_encoder", "fusion"} <= graphs
    if epochs:
        assert "too few to tell" in said and "judged by token likelihood over 1 descriptions" in said
    else:
        assert "the model only searches" in said and "0 of 12 families of attacks tried" in said
        assert "answers no questions" in (bundle.path / "README.md").read_text()
