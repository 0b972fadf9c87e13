"""What `sightline save-pretrained` writes loads in timm, torchvision and transformers, with equal outputs."""

import json

import numpy as np
import pytest
import timm.data
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from sightline.core import artifacts
from sightline.core.params.dual_encoder_params import DualEncoderParams
from sightline.core.preprocessing import Preprocessing
from sightline.core.registry import load as build_tower
from sightline.data import tokenizer_files
from sightline.inference.torch_session import load_clip
from sightline.models import pretrained_dual_encoder
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vision import torchvision as torchvision_towers
from sightline_lab.pretrained import small_checkpoints
from tests.support import command_line, language_models, tiny

ATOL = 1e-6  # both compute in float32 by the same operations
VISION = {
    "small_cnn": {"width": 32, "image_size": 32},
    "timm": {"name": "test_vit", "image_size": 64, "checkpoint": "none"},
    "torchvision": {"name": "squeezenet1_0", "image_size": 64, "checkpoint": "none"},
}
OWN_TEXT = {"tower": "bert", "width": 32, "layers": 1, "heads": 2, "max_tokens": tiny.MAX_TEXT}


def hf_text(folder):
    """A folder with a small BERT of the tiny vocabulary, as a checkpoint comes."""
    config = BertConfig(
        vocab_size=tiny.tokenizer().size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return {"tower": "hf", "checkpoint": str(folder), "max_tokens": tiny.MAX_TEXT}


def trained(models, vision, text):
    """models/clip of a dual encoder with these towers, with weights that are nobody's start."""
    torch.manual_seed(1)
    config = {
        "vision": vision, "text": text, "embed_dim": 16, "projection_hidden": 0, "dropout": 0.0,
        "temperature": 0.07, "words": [6, 7, 8], "fusion_width": 32, "fusion_layers": 1,
        "vocab_size": tiny.tokenizer().size,
    }  # fmt: skip
    clip = DualEncoder(config)
    with torch.no_grad():
        for tensor in clip.parameters():
            tensor.add_(0.01 * torch.randn_like(tensor))
    with artifacts.create(models / "clip", "clip", clip.config) as folder:
        artifacts.save_weights(folder / "weights.safetensors", clip.state_dict())
        tiny.tokenizer().save(folder / "tokenizer.json")
    return load_clip(models / "clip")


@pytest.fixture
def checkout(tmp_path):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).touch()
    return tmp_path


def loaded(out, name):
    """The model that the card's code for a part makes."""
    code = (out / "README.md").read_text(encoding="utf-8").split(f"`{name}` (")[1].split("```")[1]
    scope = {}
    exec(code.removeprefix("python\n").replace(name, str(out / name)), scope)
    return scope["model"].eval()


def save(checkout, code=0):
    return command_line.run(checkout, "save-pretrained", "out", code=code)


def test_timm_and_transformers_load_their_towers(checkout, tmp_path):
    vision = {"tower": "timm", **VISION["timm"]}
    clip = trained(checkout / "models", vision, hf_text(tmp_path / "bert"))
    said = save(checkout).stdout
    image_BCYX = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = loaded(checkout / "out", "clip/vision").forward_features(image_BCYX)
        patches_BPD = clip.vision.patches(clip.vision(image_BCYX))
        torch.testing.assert_close(clip.vision._patches(features), patches_BPD, atol=ATOL, rtol=0)
        tokenizer = AutoTokenizer.from_pretrained(checkout / "out" / "clip" / "text")
        read = tokenizer(list(tiny.CAPTIONS), padding=True, truncation=True, return_tensors="pt")
        ids_BT, mask_BT = map(torch.from_numpy, tiny.tokenizer().batch(tiny.CAPTIONS, tiny.MAX_TEXT))
        assert torch.equal(read.input_ids, ids_BT) and torch.equal(read.attention_mask.bool(), mask_BT)
        theirs = loaded(checkout / "out", "clip/text")(**read).last_hidden_state
        torch.testing.assert_close(theirs, clip.text(ids_BT, mask_BT), atol=ATOL, rtol=0)
    written = artifacts.read_json(checkout / "out" / "clip" / "vision" / "preprocessor_config.json")
    assert Preprocessing.from_config(written) == clip.vision.preprocessing
    seen = timm.data.resolve_data_config(model=loaded(checkout / "out", "clip/vision"))
    assert (seen["input_size"], seen["interpolation"]) == (
        (3, 64, 64),
        clip.vision.preprocessing.interpolation,
    )
    assert tuple(seen["mean"]) == clip.vision.preprocessing.mean
    assert 'timm.create_model("local-dir:out/clip/vision", pretrained=True)' in said
    assert 'AutoModel.from_pretrained("out/clip/text")' in said
    saved = artifacts.load(checkout / "out", "pretrained", everything=True)
    assert saved.config["parts"] == {"clip/text": "hf", "clip/vision": "timm"}


def test_a_whole_dual_encoder_goes_out_whole(checkout, tmp_path):
    draw = np.random.default_rng(0)
    pictures = list(draw.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
    source = tmp_path / "published"
    source.mkdir()
    small_checkpoints.clip(source, small_checkpoints.Pairs(pictures, [tiny.CAPTIONS] * 8), 2, 0, 32)
    params = DualEncoderParams(name="", revision="", checkpoint=str(source), image_size=0)
    clip = pretrained_dual_encoder.load(params, tiny.MAX_TEXT, pretrained_dual_encoder.NO_HEADS).eval()
    with artifacts.create(checkout / "models" / "clip", "clip", clip.config) as folder:
        artifacts.save_weights(folder / "weights.safetensors", clip.state_dict())
        tokenizer_files.copy(source / "tokenizer.json", folder)
    assert 'AutoModel.from_pretrained("out/clip")' in save(checkout).stdout
    out, image_BCYX = checkout / "out" / "clip", torch.randn(2, 3, 32, 32)
    read = AutoTokenizer.from_pretrained(out)(
        list(tiny.CAPTIONS), padding=True, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        theirs = loaded(checkout / "out", "clip")(**read, pixel_values=image_BCYX)
        image_BE = clip.encode_image(image_BCYX)[1]
        text_BE = clip.encode_text(read["input_ids"], read["attention_mask"].bool())[1]
    torch.testing.assert_close(theirs.image_embeds, image_BE, atol=ATOL, rtol=0)
    torch.testing.assert_close(theirs.text_embeds, text_BE, atol=ATOL, rtol=0)
    preprocessing = Preprocessing.from_config(artifacts.read_json(out / "preprocessor_config.json"))
    assert preprocessing == clip.vision.preprocessing


def test_torchvision_is_saved_and_the_text_tower_of_ours_is_named(checkout):
    clip = trained(checkout / "models", {"tower": "torchvision", **VISION["torchvision"]}, OWN_TEXT)
    said = save(checkout).stdout
    assert "clip/text (bert): Sightline's own, docs/reference/artifacts.md" in said
    assert not (checkout / "out" / "clip" / "text").exists()
    compare_features(clip.vision, loaded(checkout / "out", "clip/vision"))


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16"])
def test_torchvision_loads_its_other_families(tmp_path, name):
    config = {"tower": "torchvision", **VISION["torchvision"], "name": name}
    torch.manual_seed(0)
    tower = build_tower("models/vision", "torchvision").build(config).eval()
    tower.save_pretrained(tmp_path)
    scope = {}
    exec(tower.loader.format(folder=tmp_path), scope)
    compare_features(tower, scope["model"].eval())


def compare_features(tower, model):
    """The map before the head, which torchvision's models compute child after child."""
    image_BCYX = torch.randn(2, 3, tower.image_size, tower.image_size)
    with torch.no_grad():
        theirs = torchvision_towers._features(tower.config["name"], model)(image_BCYX)
        torch.testing.assert_close(theirs, tower.features(image_BCYX), atol=ATOL, rtol=0)


def test_towers_of_ours_are_named_and_nothing_is_written(checkout):
    trained(checkout / "models", {"tower": "small_cnn", **VISION["small_cnn"]}, OWN_TEXT)
    error = save(checkout, code=2).stderr
    assert "bert, small_cnn are towers of Sightline alone" in error and "docs/reference/artifacts.md" in error
    assert not (checkout / "out").exists()


def test_a_folder_with_other_files_stays(checkout, tmp_path):
    trained(checkout / "models", {"tower": "timm", **VISION["timm"]}, OWN_TEXT)
    (checkout / "out").mkdir()
    (checkout / "out" / "mine.json").write_text(json.dumps({}))
    assert "mine.json" in save(checkout, code=2).stderr
    assert [path.name for path in (checkout / "out").iterdir()] == ["mine.json"]


def test_without_a_model_the_cure_is_named(checkout):
    assert "dvc repro" in save(checkout, code=2).stderr


def test_a_language_model_that_answers_goes_out_alone(checkout):
    """What transformers then computes over a text is what the answering model computes over it without a
    picture; its tokenizer comes along."""
    vlm, clip = language_models.models("llama")
    with torch.no_grad():
        for tensor in vlm.parameters():
            tensor.add_(0.01 * torch.randn_like(tensor))
    for name, model, tokenizer in (
        ("clip", clip, tiny.tokenizer()),
        ("vlm", vlm, language_models.tokenizer()),
    ):
        with artifacts.create(checkout / "models" / name, name, model.config) as folder:
            artifacts.save_weights(folder / "weights.safetensors", model.state_dict())
            tokenizer.save(folder / "tokenizer.json")
    said = save(checkout).stdout
    assert 'AutoModelForCausalLM.from_pretrained("out/vlm/decoder")' in said and "small_cnn" in said
    read = AutoTokenizer.from_pretrained(checkout / "out" / "vlm" / "decoder")
    ids = torch.tensor([read(tiny.QUESTIONS[0])["input_ids"]])
    assert ids[0].tolist() == language_models.tokenizer().encode(tiny.QUESTIONS[0], 64)
    with torch.no_grad():
        theirs = loaded(checkout / "out", "vlm/decoder")(ids).logits
        nothing = torch.zeros(1, 0, clip.vision.width)
        memory = vlm.memory(nothing, None, ids[:, :1], ids[:, :1] > -1)
        ours = vlm.eval().step(ids[:, 1:], None, memory).logits
    torch.testing.assert_close(theirs[:, 1:, : ours.shape[-1]], ours, atol=1e-5, rtol=0)
