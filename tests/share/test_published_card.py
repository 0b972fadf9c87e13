"""What is published loads in other libraries, and its card says what was measured, as the Hub reads it."""

import re
import subprocess

import numpy as np
import pytest
from huggingface_hub import ModelCard, ModelCardData
from PIL import Image

from sightline.core import artifacts
from sightline.inference.session import Session
from tests.share.conftest import figure
from tests.support import command_line, tiny

TEXTS = [*tiny.CAPTIONS, "Étê 北京: a cup!", "", "ball " * 60]


@pytest.fixture
def prepared(checkout, tmp_path):
    out = tmp_path / "prepared"
    command_line.run(checkout, "push-to-hub", "ada/balls", "--dry-run", out, torch=False, code=0)
    return out


def test_transformers_reads_texts_and_pictures_as_the_model_does(bundle):
    from transformers import AutoImageProcessor, AutoTokenizer

    session, tokenizer = Session.load(bundle), AutoTokenizer.from_pretrained(bundle)
    longest = session.settings.max_text
    assert [tokenizer(text, truncation=True).input_ids for text in TEXTS] == [
        session.tokenizer.encode(text, longest) for text in TEXTS
    ]
    padded = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="np")
    ids_BT, mask_BT = session.tokenizer.batch(TEXTS, longest, pad_to=longest)
    assert (padded.input_ids == ids_BT).all() and (padded.attention_mask == mask_BT).all()
    kept = ids_BT[0][mask_BT[0]]
    assert (
        tokenizer.decode(kept, skip_special_tokens=True) == session.tokenizer.decode(kept) == tiny.CAPTIONS[0]
    )
    processor, draw = AutoImageProcessor.from_pretrained(bundle, backend="pil"), np.random.default_rng(0)
    for shape in ((40, 42, 3), (64, 48, 3), (32, 32, 3), (100, 75, 3)):  # an odd rest is cut a pixel earlier
        rgb = draw.integers(0, 256, shape, dtype=np.uint8)
        theirs = processor(Image.fromarray(rgb), return_tensors="np")["pixel_values"]
        assert np.abs(theirs - session.pixels([rgb])).max() < 1e-6


def test_the_code_of_the_card_gives_the_similarities_of_sightline(prepared, tmp_path):
    card = (prepared / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", card, flags=re.S | re.M)
    prepared.rename(tmp_path / "balls")
    Image.fromarray(tiny.pictures(1)[0][:, :40]).save(tmp_path / "photo.jpg", quality=95)
    done = subprocess.run(
        command_line.python(code),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=command_line.environment(),
    )
    assert done.returncode == 0, done.stderr
    session = Session.load(tmp_path / "balls")
    image_BE = session.embed_images([np.asarray(Image.open(tmp_path / "photo.jpg"))])
    text_BE = session.embed_texts(["a red ball", "a blue cup"])
    printed = np.array(re.findall(r"-?\d\.\d+(?:e-?\d+)?", done.stdout), dtype=float)
    assert printed == pytest.approx((image_BE @ text_BE.T)[0], abs=1e-5)


def test_the_front_matter_is_what_the_hub_wants(prepared, checkout):
    data = ModelCard.load(prepared / "README.md").data
    assert isinstance(data, ModelCardData)
    assert (data.license, data.language, data.library_name) == ("apache-2.0", ["en"], "sightline")
    assert data.pipeline_tag == "visual-question-answering" and "onnx" in data.tags
    assert set(data.metrics) >= {"accuracy", "chair_i", "recall_at_1"}
    results = {(result.dataset_split, result.metric_type): result for result in data.eval_results}
    found = results["test", "accuracy"]
    value, low, high = figure(checkout, "test", "vqa_accuracy")
    assert found.metric_value == value and found.task_type == "visual-question-answering"
    assert found.metric_name == f"vqa accuracy, percent (95 % interval {low:.1f} to {high:.1f})"
    recall, _, _ = figure(checkout, "shift_test", "text_to_image_r1")
    assert results["shift_test", "recall_at_1"].metric_value == recall


def test_the_sections_say_data_figures_limits_and_origin(prepared, checkout):
    card = (prepared / "README.md").read_text(encoding="utf-8")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True
    ).stdout.strip()
    assert "Source `scenes`: 10 of `test`; language `en`" in card and "a" * 64 in card
    cells = [
        "{:.1f} [{:.1f}, {:.1f}]".format(*figure(checkout, split, name))
        for split, name in (("test", "vqa_accuracy"), ("shift_test", "vqa_accuracy"), ("test", "chair_i"))
    ]
    assert f"| vqa accuracy | {cells[0]} | {cells[1]} |" in card
    assert f"{cells[2]} % of the things that its descriptions name are not in the picture" in card
    assert f"git commit `{head}`; sha256 of `resolved.yaml`: `" in card
    assert artifacts.sha256(checkout / "resolved.yaml") in card
    assert "hf download ada/balls --local-dir balls" in card and "rendered scenes" in card
    (checkout / "params.yaml").write_text((checkout / "params.yaml").read_text() + "# changed\n")
    again = prepared.with_name("again")
    command_line.run(checkout, "push-to-hub", "ada/balls", "--dry-run", again, "--license", "other", code=0)
    changed = (again / "README.md").read_text(encoding="utf-8")
    assert (
        f"git commit `{head}`, with changes that are not committed" in changed
        and "license: other\n" in changed
    )


def test_the_card_of_a_model_that_only_searches(searching_bundle):
    card = ModelCard.load(searching_bundle / "README.md")
    assert card.data.pipeline_tag == "zero-shot-image-classification"
    assert "It answers no questions" in card.text and "sightline ask --bundle" not in card.text
    assert "SPIN" not in card.text
