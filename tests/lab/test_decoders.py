"""The comparison of decoders: a real language model as `decoder.checkpoint`, equal compute by the cost of
`decoder.*` too, and the page of it."""

import pytest
import torch

from sightline.core.artifacts import read_json
from sightline.models.decoder import hf
from sightline_lab.ablations import arms as planning
from sightline_lab.ablations.arms import Cost
from sightline_lab.decoders import decoder_arms, decoders_page, random_language_model
from tests.support import language_models, tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("language")
    language_models.tokenizer().save(home / "tokenizer.json")
    shape = random_language_model.SHAPE | {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    millions = random_language_model.write(home / "model", home / "tokenizer.json", 3, shape)
    return home / "model", millions


def test_the_language_model_becomes_a_decoder(folder):
    path, millions = folder
    own, (_, clip) = language_models.tokenizer(), tiny.models(tiny.tokenizer().size)
    language_model = hf.load(hf.files(str(path), ""))
    lengths = {"max_answer": tiny.MAX_ANSWER, "max_question": tiny.MAX_QUESTION}
    vlm = hf.from_clip(clip, language_model, lengths, own.size, own.eos)
    assert sum(weight.numel() for weight in language_model.parameters()) / 1e6 == millions
    assert vlm.config["vocab_size"] == own.size and vlm.config["layers"] == 2


def test_the_same_seed_writes_the_same_weights(folder, tmp_path):
    shape = random_language_model.SHAPE | {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    random_language_model.write(tmp_path, folder[0] / "tokenizer.json", 3, shape)
    pairs = zip(hf.load(tmp_path).parameters(), hf.load(folder[0]).parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_epochs_even_out_what_an_epoch_of_either_costs(folder):
    arms = decoder_arms.arms(folder[0])
    names = planning.configurations(arms)
    own, causal = (name for name in names if name.startswith("finetune"))
    assert "decoder.checkpoint" in causal and len(names) == 4  # the stages before it are shared
    costs = dict.fromkeys(names, Cost(1.0, 10.0)) | {own: Cost(2.0, 40.0), causal: Cost(6.0, 24.0)}
    plans = planning.plan(arms, {"pretrain": 1.0, "align": 1.0, "finetune": 2.0}, costs)
    assert plans["causal"].changes["finetune.epochs"] == pytest.approx((2 + 80 - 6) / 24, abs=1e-4)


def test_the_page_compares_what_a_decoder_decides(tmp_path):
    def arm(answers, seconds):
        figures = [{"answers": value, "chair_i": 2.0, "text_to_image_r1": 80.0} for value in answers]
        runs = {
            str(7 + number): {"figures": each, "core_seconds": {"align": 9.0, "finetune": seconds}}
            for number, each in enumerate(figures)
        }
        return {"runs": runs, "changes": {"finetune.epochs": 1.6}}

    result = {
        "profile": "scenes", "scale": 1.0, "seeds": [7, 8, 9], "pictures": 400,
        "language_model": {"millions": 0.9},
        "exported": {
            "items": 2000, "tokens": 5120, "answers_different": 0, "answers_near_tie": 1,
            "gates_different": 0, "gates_near_tie": 3, "max_logit_difference": 2e-6,
            "max_logit_difference_spin": 3e-6,
        },
        "arms": {"default": arm([90.0, 91.0, 92.0], 300.0), "causal": arm([80.0, 82.0, 81.0], 310.0)},
    }  # fmt: skip
    decoders_page.merge(tmp_path / "decoders.json", result)
    decoders_page.merge(tmp_path / "decoders.json", result | {"profile": "flickr8k"})
    page = decoders_page.page(read_json(tmp_path / "decoders.json"))
    assert page.count("## Profile `scenes`") == page.count("## Profile `flickr8k`") == 1
    assert "answered 2,000 questions" in page and "| heads that SPIN gates | 0 | 3 |" in page
    # differences -10, -9, -11: mean -10, deviation 1, half 4.303 / sqrt(3)
    assert "| answers, mean of types | 91.0 ± 1.0 | 81.0 ± 1.0 | -10.0 [-12.5, -7.5] |" in page
    assert "| CHAIR_i | 2.0 ± 0.0 | 2.0 ± 0.0 | +0.0 [+0.0, +0.0] |" in page
    assert "R@1" not in page and "| core-seconds of fine-tuning | 300 | 310 | |" in page
