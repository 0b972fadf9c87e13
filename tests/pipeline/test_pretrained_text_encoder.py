"""The real stages with a pretrained text encoder whose tokenizer, a byte-level BPE, has no frame, no pad and
no mask: from the captions to an answer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from sightline.core.artifacts import load
from sightline.data.tokenizer import Tokenizer
from tests.support import params_files, text_encoders

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("download", "convert", "pretrain", "align", "finetune", "compress", "export", "index")
SIZES = ("train", "val", "test", "shift_val", "shift_test", "uniform_test", "novel_test")
SMALL = {
    "launch": "python", "data.sizes": dict.fromkeys(SIZES, 8) | {"train": 24},
    "text.tower": "hf", "text.checkpoint": "encoder", "text.max_tokens": 36, "pretrain.epochs": 0.0,
    "align.epochs": 1.0, "align.batch_size": 8, "align.matching_samples": 4,
    "finetune.epochs": 1.0, "finetune.batch_size": 8, "finetune.max_question": 32,
    "export.calibration_items": 4, "export.parity_items": 4, "export.selection_items": 4,
}  # fmt: skip


def run(folder: Path, *command: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, capture_output=True, text=True, timeout=1800
    )


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A checkout's data and params with GPT-2's layout as the text tower; nothing built."""
    folder = tmp_path_factory.mktemp("gpt2")
    text_encoders.checkpoint("gpt2", folder / "encoder")
    params_files.write(folder, "smoke", SMALL)
    return folder


def test_masked_words_are_refused_before_any_training(here, tmp_path):
    params_files.write(tmp_path, "smoke", {**SMALL, "pretrain.epochs": 1.0})
    (tmp_path / "encoder").symlink_to(here / "encoder")
    for stage in ("download", "convert"):
        assert run(tmp_path, ROOT / "stages" / f"{stage}.py").returncode == 0
    refused = run(tmp_path, ROOT / "stages" / "pretrain.py")
    assert refused.returncode != 0 and "set pretrain.epochs to 0" in refused.stdout + refused.stderr
    assert not (tmp_path / "models" / "text").exists()


def test_it_is_trained_exported_indexed_and_asked(here):
    for stage in STAGES:
        done = run(here, ROOT / "stages" / f"{stage}.py")
        assert done.returncode == 0, f"{stage}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    bundle = load(here / "models" / "bundle", "bundle").path
    published = Tokenizer.load(here / "encoder" / "tokenizer.json")
    for folder in (here / "models" / "text", here / "models" / "clip", here / "models" / "vlm", bundle):
        carried = Tokenizer.load(folder / "tokenizer.json")
        assert carried.encode("A red ball, isn't it?", 30) == published.encode("A red ball, isn't it?", 30)
        assert (carried.pad, carried.bos, carried.eos, carried.mask) == (published.eos,) * 3 + (None,)
    theirs = AutoTokenizer.from_pretrained(bundle)("A red ball, isn't it?")["input_ids"]
    assert theirs == published.encode("A red ball, isn't it?", 30)
    command = "from sightline.cli.main import main; main()"
    asked = run(here, "-c", command, "ask", "--bundle", bundle, "--json")
    assert asked.returncode == 0, asked.stderr
    assert isinstance(json.loads(asked.stdout)["answer"], str)
    found = run(here, "-c", command, "search", "--bundle", bundle, "--json", "a red ball")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["results"]
