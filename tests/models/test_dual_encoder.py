"""The dual encoder: unit embeddings, neighbours, temperature, heads, a few steps of learning."""

import json
import math

import pytest
import torch

from sightline.models.dual_encoder import DualEncoder
from sightline.train.losses import info_nce, matching, word_in_patch

CONFIG = {
    "vision": {"tower": "small_cnn", "image_size": 32, "width": 32},
    "text": {"tower": "bert", "width": 32, "layers": 1, "heads": 2, "max_tokens": 8},
    "vocab_size": 40,
    "embed_dim": 16,
    "projection_hidden": 0,
    "dropout": 0.0,
    "temperature": 0.07,
    "words": ["a", "b", "c"],
    "fusion_width": 32,
    "fusion_layers": 2,
}


@pytest.fixture(params=["cross_attention", "projection", "concat"])
def model(request) -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder({**CONFIG, "fusion": request.param})


def batch(rows: int):
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(rows, 3, 32, 32, generator=generator)
    ids = torch.randint(5, 40, (rows, 6), generator=generator)
    mask = torch.ones(rows, 6, dtype=torch.bool)
    mask[1, 4:] = False
    return image, ids, mask


@torch.no_grad()
def test_rows_do_not_depend_on_neighbours(model):
    model.eval()
    image, ids, mask = batch(4)
    tokens, image_BE = model.encode_image(image)
    states, text_BE = model.encode_text(ids, mask)
    match = model.match(tokens, states, mask)
    assert tokens.shape == (4, 64, 32) and image_BE.shape == text_BE.shape == (4, 16) and match.shape == (4,)
    assert model.word_logits(tokens).shape == (4, 64, 3)
    torch.testing.assert_close(image_BE.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(text_BE.norm(dim=1), torch.ones(4))
    one_tokens, one_image = model.encode_image(image[1:2])
    one_states, one_text = model.encode_text(ids[1:2, :4], mask[1:2, :4])  # without its padding
    # Another shape sums in another order; measured 1e-6 on values of order 1.
    torch.testing.assert_close(one_image[0], image_BE[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(one_text[0], text_BE[1], atol=1e-5, rtol=0)
    alone = model.match(one_tokens, one_states, mask[1:2, :4])
    torch.testing.assert_close(alone[0], match[1], atol=1e-5, rtol=0)


def test_temperature_starts_as_given_and_is_clamped(model):
    assert float(model.logit_scale.detach()) == pytest.approx(1 / 0.07, rel=1e-5)
    with torch.no_grad():
        model.log_scale.fill_(math.log(1e6))
    assert float(model.logit_scale.detach()) == 100.0


def test_rebuilds_from_its_config(model):
    rebuilt = DualEncoder(json.loads(json.dumps(model.config)))
    rebuilt.load_state_dict(model.state_dict())
    image, _, _ = batch(2)
    with torch.no_grad():
        assert torch.equal(rebuilt.eval().encode_image(image)[1], model.eval().encode_image(image)[1])


def test_a_bag_of_words_is_its_own_embedding():
    text = CONFIG["text"] | {"tower": "idf_bag", "width": CONFIG["embed_dim"]}
    model = DualEncoder({**CONFIG, "text": text, "dropout": 0.5}).train()
    _, ids, mask = batch(3)
    states, text_BE = model.encode_text(ids, mask)
    pooled_BE = model.text.pool(states, mask)
    torch.testing.assert_close(text_BE, torch.nn.functional.normalize(pooled_BE, dim=1))
    with pytest.raises(ValueError, match="text.width is 8, align.embed_dim 16"):
        DualEncoder({**CONFIG, "text": text | {"width": 8}})


def test_unknown_fusions_are_refused():
    with pytest.raises(ValueError, match="align.fusion is 'sum': choose cross_attention"):
        DualEncoder({**CONFIG, "fusion": "sum"})
    assert DualEncoder(CONFIG).config["fusion"] == "cross_attention"  # of models from before the choice


def test_match_starts_as_the_similarity(model):
    model.eval()
    image, ids, mask = batch(4)
    with torch.no_grad():
        tokens, image_BE = model.encode_image(image)
        states, text_BE = model.encode_text(ids, mask)
        similarity_B = model.logit_scale * (image_BE * text_BE).sum(1)
        torch.testing.assert_close(model.match(tokens, states, mask), similarity_B)


def test_heads_learn_a_batch_by_heart(model):
    """All three losses fall; a head cut off from its inputs would stay where it started."""
    image, ids, mask = batch(8)
    targets = torch.randint(0, 2, (8, 3), generator=torch.Generator().manual_seed(2)).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    wrong = torch.tensor([1, 2, 3, 4, 5, 6, 7, 0])
    own = torch.arange(8)
    i, j = torch.cat([own, own, wrong]), torch.cat([own, wrong, own])
    label = torch.tensor([1.0] * 8 + [0.0] * 16)
    history = []
    for _ in range(40):
        tokens, image_BE = model.encode_image(image)
        states, text_BE = model.encode_text(ids, mask)
        losses = (
            info_nce.loss(image_BE, text_BE, model.logit_scale),
            word_in_patch.loss(model.word_logits(tokens), targets),
            # The re-ranker alone, without the similarity that info_nce learns.
            matching.loss(model.fusion(tokens[i], states[j], mask[j]), label),
        )
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        history.append([float(loss.detach()) for loss in losses])
    assert all(last < 0.6 * first for first, last in zip(history[0], history[-1], strict=True)), history[-1]


def test_a_picture_and_its_mirror_image_are_embedded_alike():
    torch.manual_seed(0)
    plain = DualEncoder(CONFIG).eval()
    both = DualEncoder(CONFIG | {"mirrored_views": True}).eval()
    both.load_state_dict(plain.state_dict())
    image_BCYX, _, _ = batch(3)
    with torch.no_grad():
        tokens_BPD, embed_BE = both.encode_image(image_BCYX)
        views = [plain.encode_image(view) for view in (image_BCYX, image_BCYX.flip(3))]
        torch.testing.assert_close(tokens_BPD, views[0][0])
        mean_BE = torch.nn.functional.normalize(views[0][1] + views[1][1], dim=1)
        torch.testing.assert_close(embed_BE, mean_BE)
        torch.testing.assert_close(embed_BE, both.encode_image(image_BCYX.flip(3))[1])
    assert not torch.allclose(embed_BE, views[0][1], atol=1e-3)


def test_a_standardised_summary_has_mean_0_and_deviation_1_and_is_cut_off_far_away():
    torch.manual_seed(0)
    model = DualEncoder(CONFIG | {"standardize": True}).eval()
    seen = []
    model.image_projection.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        tokens_BPD = model.vision(torch.randn(64, 3, 32, 32))
        summary_BS = model.vision.summarise(tokens_BPD)
        model.summary_mean_S.copy_(summary_BS.mean(0))
        model.summary_deviation_S.copy_(summary_BS.std(0))
        model.embed_image(tokens_BPD)
        torch.testing.assert_close(seen[0].mean(0), torch.zeros(seen[0].shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(seen[0].std(0), torch.ones(seen[0].shape[1]), atol=1e-4, rtol=0)
        model.embed_image(1000.0 * tokens_BPD)
        assert float(seen[1].abs().max()) == 6.0
    rebuilt = DualEncoder(json.loads(json.dumps(model.config)))
    rebuilt.load_state_dict(model.state_dict())
    assert torch.equal(rebuilt.summary_mean_S, model.summary_mean_S)
