"""The real stages with a pretrained text encoder whose tokenizer, a byte-level BPE, has no frame, no pad and
no mask: from the captions to an answer."""

import json

import pytest
from transformers import AutoTokenizer

from sightline.core.artifacts import load
from sightline.data.tokenizer import Tokenizer
from tests.support import command_line, params_files, stage_runs, text_encoders

STAGES = ("download", "convert", "pretrain", "align", "finetune", "compress", "export", "index")
SIZES = ("train", "val", "test", "shift_val", "shift_test", "uniform_test", "novel_test")
SMALL = {
    "launch": "python", "data.sizes": dict.fromkeys(SIZES, 8) | {"train": 24},
    "text.tower": "hf", "text.checkpoint": "encoder", "text.max_tokens": 36, "pretrain.epochs": 0.0,
    "align.epochs": 1.0, "align.batch_size": 8, "align.matching_samples": 4,
    "finetune.epochs": 1.0, "finetune.batch_size": 8, "finetune.max_question": 32,
    "export.calibration_items": 4, "export.parity_items": 4, "export.selection_items": 4,
}  # fmt: skip


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
    refused = stage_runs.attempt(tmp_path, "download", "convert", "pretrain")
    assert (tmp_path / "data" / "vqa" / "manifest.json").exists()
    assert refused.returncode != 0 and "set pretrain.epochs to 0" in refused.stdout + refused.stderr
    assert not (tmp_path / "models" / "text").exists()


def test_it_is_trained_exported_indexed_and_asked(here):
    stage_runs.run(here, *STAGES)
    bundle = load(here / "models" / "bundle", "bundle").path
    published = Tokenizer.load(here / "encoder" / "tokenizer.json")
    for folder in (here / "models" / "text", here / "models" / "clip", here / "models" / "vlm", bundle):
        carried = Tokenizer.load(folder / "tokenizer.json")
        assert carried.encode("A red ball, isn't it?", 30) == published.encode("A red ball, isn't it?", 30)
        assert (carried.pad, carried.bos, carried.eos, carried.mask) == (published.eos,) * 3 + (None,)
    assert_scores_what_answers_have(here, published)
    theirs = AutoTokenizer.from_pretrained(bundle)("A red ball, isn't it?")["input_ids"]
    assert theirs == published.encode("A red ball, isn't it?", 30)
    asked = command_line.run(here, "ask", "--bundle", bundle, "--json", code=0)
    assert isinstance(json.loads(asked.stdout)["answer"], str)
    found = command_line.run(here, "search", "--bundle", bundle, "--json", "a red ball", code=0)
    assert json.loads(found.stdout)["results"]


def assert_scores_what_answers_have(here, tokenizer):
    """The decoder scores the tokens of the answers of train, and one that stands for the rest."""
    lines = (here / "data" / "vqa" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line)["answer"] for line in lines]
    used = {token for answer in answers for token in tokenizer.encode_answer(answer, 72)[1:]}
    for folder in ("vlm", "blind"):
        config = load(here / "models" / folder, "vlm").config
        *scored, others = config["answer_tokens"]
        assert scored == sorted(used) and others not in used and config["vocab_size"] == tokenizer.size
