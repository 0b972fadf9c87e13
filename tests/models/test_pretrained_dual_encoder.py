"""A CLIP and a SigLIP in Hugging Face's layout as our dual encoder, against transformers itself."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, CLIPImageProcessorPil, SiglipImageProcessorPil

from sightline.core.params.checks import NO_INPUT
from sightline.core.params.dual_encoder_params import DualEncoderParams
from sightline.data.tokenizer import Tokenizer
from sightline.data.transforms import preprocess
from sightline.models import pretrained_dual_encoder
from sightline.models.dual_encoder import DualEncoder
from sightline_lab.pretrained import small_checkpoints
from sightline_lab.pretrained.small_checkpoints import Pairs

SIDE = 32
HEADS = {"words": ["red", "blue"], "dropout": 0.1, "fusion": "concat", "fusion_width": 16, "fusion_layers": 1}
TEXTS = [
    "a small red cup left of a blue ring", "a cat", "two large green cubes above a yellow mug",
    "The quick brown fox jumps over the lazy dog again and again until it is cut off because it is so long",
]  # fmt: skip


def params(folder, **changes) -> DualEncoderParams:
    given = {"name": "", "revision": "", "checkpoint": str(folder), "image_size": 0}
    return DualEncoderParams(**given | changes)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def published(request, tmp_path_factory):
    """The folder of a checkpoint that trained for two steps."""
    folder = tmp_path_factory.mktemp(request.param)
    draw = np.random.default_rng(0)
    pictures = list(draw.integers(0, 256, (8, 40, 52, 3), dtype=np.uint8))
    pairs = Pairs(pictures, [TEXTS] * 8)
    getattr(small_checkpoints, request.param)(folder, pairs, 2, 0, SIDE)
    return folder


def ours(folder, **changes) -> DualEncoder:
    torch.manual_seed(3)
    return pretrained_dual_encoder.load(params(folder, **changes), 96, HEADS).eval()


def pictures(count=6):
    return list(np.random.default_rng(1).integers(0, 256, (count, 47, 61, 3), dtype=np.uint8))


def theirs(folder, rgb):
    """(image_BE, text_BE, logits_per_text) of transformers, by its own processor and tokenizer."""
    model = AutoModel.from_pretrained(folder).eval()
    siglip = model.config.model_type == "siglip"
    processor = (SiglipImageProcessorPil if siglip else CLIPImageProcessorPil).from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    padding = "max_length" if siglip else True
    tokens = tokenizer(
        TEXTS, padding=padding, truncation=True, max_length=small_checkpoints.TOKENS, return_tensors="pt"
    )
    texts = {"input_ids": tokens["input_ids"]} | (
        {} if siglip else {"attention_mask": tokens["attention_mask"]}
    )
    pixels = processor(rgb, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        image = model.get_image_features(pixel_values=pixels).pooler_output
        text = model.get_text_features(**texts).pooler_output
        logits = model(**texts, pixel_values=pixels).logits_per_text
    return *(torch.nn.functional.normalize(part, dim=1) for part in (image, text)), logits


@torch.no_grad()
def embedded(model, folder, rgb):
    pixels = torch.from_numpy(np.stack([preprocess(each, model.vision.preprocessing) for each in rgb]))
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    ids, mask = map(torch.from_numpy, tokenizer.batch(TEXTS, model.text.config["max_tokens"]))
    tokens, image = model.encode_image(pixels)
    states, text = model.encode_text(ids, mask)
    return image, text, tokens, states, mask


def assert_same(model, ours_of, theirs_of, atol):
    """Embeddings of pictures and texts, and the logits of every pair."""
    (image, text, *_), (their_image, their_text, logits) = ours_of, theirs_of
    torch.testing.assert_close(image, their_image, atol=atol, rtol=0)
    torch.testing.assert_close(text, their_text, atol=atol, rtol=0)
    bias = 0.0 if model.logit_bias is None else model.logit_bias
    torch.testing.assert_close(model.logit_scale * text @ image.T + bias, logits, atol=1e-4, rtol=0)


def test_what_was_tuned_goes_back_out_as_the_model_that_it_was(published, tmp_path):
    model, rgb = ours(published), pictures()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(0.01 * torch.randn_like(tensor))
    for path in published.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model.save_pretrained(tmp_path)
    assert_same(model, embedded(model, published, rgb), theirs(tmp_path, rgb), atol=1e-6)


def test_embeddings_and_logits_equal_those_of_transformers(published):
    model, rgb = ours(published), pictures()
    assert_same(model, embedded(model, published, rgb), theirs(published, rgb), atol=1e-5)


def test_match_starts_as_the_similarity_and_neighbours_do_not_matter(published):
    model, rgb = ours(published), pictures(len(TEXTS))
    image, text, tokens, states, mask = embedded(model, published, rgb)
    with torch.no_grad():
        match_B = model.match(tokens, states, mask)
        torch.testing.assert_close(match_B, model.logit_scale * (image * text).sum(1))
        length = int(mask[1].sum())
        ids = torch.from_numpy(Tokenizer.load(published / "tokenizer.json").batch([TEXTS[1]], 96)[0])
        _, alone = model.encode_text(ids, mask[1:2, :length])
    torch.testing.assert_close(alone[0], text[1], atol=1e-5, rtol=0)
    rows, cols = model.vision.grid
    assert model.word_logits(tokens).shape == (len(TEXTS), rows * cols, 2)


def test_it_is_rebuilt_from_its_config_without_the_checkpoint(published):
    model = ours(published)
    rebuilt = DualEncoder(json.loads(json.dumps(model.config)))
    rebuilt.load_state_dict(model.state_dict())
    first, again = (embedded(each, published, pictures()) for each in (model, rebuilt.eval()))
    assert len(first) == len(again) > 1
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_another_size_resamples_the_positions_as_transformers_does(published):
    model, rgb = ours(published, image_size=2 * SIDE), pictures()
    image, *_ = embedded(model, published, rgb)
    assert model.vision.image_size == 2 * SIDE and model.vision.grid == (16, 16)
    source = AutoModel.from_pretrained(published).eval()
    pixels = torch.from_numpy(np.stack([preprocess(each, model.vision.preprocessing) for each in rgb]))
    with torch.no_grad():
        their_image = source.get_image_features(
            pixel_values=pixels, interpolate_pos_encoding=True
        ).pooler_output
    torch.testing.assert_close(image, torch.nn.functional.normalize(their_image, dim=1), atol=1e-5, rtol=0)


def test_what_is_no_dual_encoder_is_refused(published, tmp_path):
    with pytest.raises(ValueError, match="has no config.json and no tokenizer.json"):
        pretrained_dual_encoder.folder_of(params(tmp_path))
    for name in ("tokenizer.json", "preprocessor_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((published / name).read_bytes())
    bert = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    (tmp_path / "config.json").write_text(json.dumps(bert))
    with pytest.raises(ValueError, match="expected (clip or siglip|config.json and model.safetensors)"):
        ours(tmp_path)
    with pytest.raises(ValueError, match="dual_encoder.name"):
        pretrained_dual_encoder.folder_of(params(NO_INPUT, name="someone/clip", revision="a" * 40))
