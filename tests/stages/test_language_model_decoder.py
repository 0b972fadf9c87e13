"""The real stages with a tiny language model as decoder, tuned by low-rank adapters, on few scenes."""

import pytest

from sightline.core.artifacts import load, load_weights, read_json
from sightline.core.params.checks import ParamsError
from sightline.inference.session import Session
from tests.support import language_models, params_files, stage_runs, tiny

FEW = {
    "train": 48,
    "val": 16,
    "test": 16,
    "shift_val": 8,
    "shift_test": 8,
    "uniform_test": 8,
    "novel_test": 8,
}
SMALL = {
    "launch": "python", "data.sizes": FEW, "decoder.tower": "hf", "decoder.checkpoint": "language_model",
    "decoder.tuning": "lora", "decoder.lora_rank": 4, "finetune.decoder_lr_scale": 0.5,
    "finetune.warmup_phase_share": 0.5, "compress.head_ratio": 0.0, "compress.neuron_ratio": 0.0,
    "pretrain.epochs": 0.0, "align.epochs": 1.0, "align.batch_size": 16, "align.matching_samples": 8,
    "finetune.epochs": 1.0, "finetune.max_answer": 24, "export.calibration_items": 8,
    "export.parity_items": 8, "export.selection_items": 16, "explain.items": 2, "evaluate.max_items": 4,
    "evaluate.bootstrap": 20, "red_team.items": 4,
}  # fmt: skip
BUILT = ("download", "convert", "pretrain", "align", "finetune", "compress", "export", "index", "explain",
         "evaluate", "red_team", "report", "gate")  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    here = tmp_path_factory.mktemp("language_model")
    params_files.write(here, "smoke", SMALL)
    language_models.save(here / "language_model", "llama")
    stage_runs.run(here, *BUILT)
    return here


def test_every_stage_passes_and_the_bundle_answers_in_the_language_models_tokens(built):
    gate = read_json(built / "metrics" / "gate" / "gate.json")
    assert gate["passed"]
    exported = load(built / "models" / "onnx", "onnx")
    assert set(exported.config["variants"]) == {"fp32", "int8", "int4"}
    session = Session.load(built / "models" / "bundle")
    assert session.tokenizer.size != session.text_tokenizer.size
    (answer,) = session.answer(tiny.pictures(1), ["Is there a cup?"], need_maps=True)
    assert answer.text == session.tokenizer.decode(answer.ids)
    assert not any(
        "parametrizations" in name for name in load_weights(built / "models/vlm/weights.safetensors")
    )
    attacks = read_json(built / "metrics" / "red_team" / "red_team.json")["families"]
    assert "retrieved captions cannot reach its questions" in attacks["injected_caption"]["not_tested"]
    pages = list((built / "plots" / "explain").rglob("*.html"))
    assert pages and read_json(built / "metrics" / "explain" / "compression.json")["n"] >= 0


def test_a_cut_of_a_language_model_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(
        ParamsError, match="compress.head_ratio: got 0.25, allowed: 0.0, as decoder.tower is hf"
    ):
        params_files.write(tmp_path, "smoke", SMALL | {"compress.head_ratio": 0.25})
