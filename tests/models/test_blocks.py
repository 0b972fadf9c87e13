"""The building blocks as their users call them: every usage of the models' overview, and what it promises."""

import copy
import math

import pytest
import torch
from torch import nn

from sightline import models
from sightline.core.artifacts import ArtifactError
from sightline.inference.block_generation import generate
from sightline.inference.engine import DecodingInputs
from sightline.models import (
    ALiBiAttention,
    BaseModel,
    CrossAttentionMultiModalTransformer,
    EncoderDecoderTransformer,
    FeedForwardBlock,
    FeedForwardClassifier,
    FeedForwardNN,
    GroupedQueryAttention,
    LinearLayer,
    MultiHeadAttention,
    MultiLayerPerceptron,
    MultiModalTransformer,
    PositionalEncoding,
    RotaryPositionEncoding,
    ScaledDotProductAttention,
    SimpleAttention,
    SinusoidalEncoding,
    TokenEmbedding,
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
    VisionTransformer,
)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class MyCustomModel(BaseModel):
    def __init__(self, input_dim, output_dim):
        super().__init__()
        self.linear = nn.Linear(input_dim, output_dim)

    def forward(self, x):
        return self.linear(x)


def test_base_model(tmp_path):
    model = MyCustomModel(input_dim=10, output_dim=5)
    assert model.count_parameters() == 55 and model.get_device() == torch.device("cpu")
    model.linear.bias.requires_grad_(False)
    assert model.count_parameters() == 50
    model.save(tmp_path / "model")
    again = MyCustomModel.load(tmp_path / "model")
    x = torch.randn(3, 10)
    assert torch.equal(again(x), model(x)) and not again.training
    assert torch.equal(copy.deepcopy(model)(x), model(x))
    assert again.config == {"class": "MyCustomModel", "arguments": {"input_dim": 10, "output_dim": 5}}


def test_base_model_refuses_what_it_cannot_promise(tmp_path):
    model = MyCustomModel(10, output_dim=5)
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="holds a MyCustomModel, not a FeedForwardNN"):
        FeedForwardNN.load(tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(ArtifactError, match="expected sha256"):
        MyCustomModel.load(tmp_path / "model")
    with torch.no_grad():
        model.linear.bias[0] = math.nan
    with pytest.raises(ArtifactError, match="'linear.bias' holds NaN"):
        model.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    timid = MultiModalTransformer(Stub(), TransformerEncoder(9, 8, 2, 1, 8))
    with pytest.raises(ValueError, match=r"MultiModalTransformer\(vision_model=...\) was given a Stub"):
        timid.save(tmp_path / "other")


class Stub(nn.Module):
    embed_dim = 8


def test_feed_forward_networks():
    model = FeedForwardNN(
        input_size=784,
        hidden_sizes=[128, 64],
        output_size=10,
        activation='relu',
        dropout=0.3,
        use_layer_norm=True,
        use_residual=True
    )  # fmt: skip
    assert model(torch.randn(4, 784)).shape == (4, 10)
    classifier = FeedForwardClassifier(input_size=784, hidden_sizes=[256, 128], num_classes=10, dropout=0.5)
    images = torch.randn(32, 784)
    probabilities, classes = classifier.predict_proba(images), classifier.predict(images)
    assert probabilities.shape == (32, 10) and classes.dtype == torch.int64 and classifier.training
    torch.testing.assert_close(probabilities.sum(1), torch.ones(32))
    assert torch.equal(classes, probabilities.argmax(1)) and torch.equal(classes, classifier.predict(images))
    mlp = MultiLayerPerceptron(
        input_dim=100,
        hidden_dims=[50, 25],
        output_dim=10,
        activation='gelu',
        dropout=0.2,
        use_layer_norm=True
    )  # fmt: skip
    assert mlp(torch.randn(4, 100)).shape == (4, 10)
    with pytest.raises(ValueError, match="activation is 'softplus': choose one of relu, gelu, tanh, sigmoid"):
        FeedForwardNN(4, [4], 2, activation="softplus")


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sigmoid"])
def test_feed_forward_network_by_hand(activation):
    model = FeedForwardNN(3, [3, 5], 2, activation, use_residual=True).eval()
    x, f = torch.randn(4, 3), getattr(torch, activation, nn.functional.gelu)
    first, second = (layer.linear for layer in model.hidden)
    hidden = x + f(first(x))  # keeps its width, so it has a residual
    expected = model.output.linear(f(second(hidden)))
    torch.testing.assert_close(model(x), expected)


def test_transformer_parts_and_wholes():
    encoder_layer = TransformerEncoderLayer(
        d_model=512, num_heads=8, d_ff=2048, dropout=0.1, use_rotary_embeddings=False
    )
    encoder = TransformerEncoder(
        vocab_size=10000,
        d_model=512,
        num_heads=8,
        num_layers=6,
        d_ff=2048,
        dropout=0.1,
        max_seq_length=512,
        positional_encoding='sinusoidal'
    )  # fmt: skip
    decoder_layer = TransformerDecoderLayer(
        d_model=512, num_heads=8, d_ff=2048, dropout=0.1, use_rotary_embeddings=False
    )
    transformer = EncoderDecoderTransformer(
        src_vocab_size=10000,
        tgt_vocab_size=10000,
        d_model=512,
        num_heads=8,
        num_encoder_layers=6,
        num_decoder_layers=6,
        d_ff=2048,
        dropout=0.1,
        max_seq_length=512,
        positional_encoding='sinusoidal',
        share_embeddings=True
    )  # fmt: skip
    x, ids = torch.randn(2, 5, 512), torch.randint(0, 10000, (2, 5))
    with torch.no_grad():
        assert encoder_layer(x).shape == decoder_layer(x, torch.randn(2, 7, 512)).shape == (2, 5, 512)
        assert encoder(ids).shape == (2, 5, 512)
        assert transformer(ids, ids[:, :3]).shape == (2, 3, 10000)
    alone = 10000 * 512
    layers = 6 * (4 + 8) * 512 * 512 + 6 * (8 + 8) * 512 * 512
    assert 0 < transformer.count_parameters() - alone - layers < 200_000  # one table; biases and norms


def test_attentions():
    attention = ScaledDotProductAttention(dropout=0.1)
    query = torch.randn(32, 10, 64)
    key = torch.randn(32, 10, 64)
    value = torch.randn(32, 10, 64)
    context, attn_weights = attention(query, key, value)
    assert context.shape == (32, 10, 64) and attn_weights.shape == (32, 10, 10)
    context, attn_weights = SimpleAttention()(query, key, value)
    expected = nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(context, expected, atol=1e-5, rtol=0)
    multi_head_attn = MultiHeadAttention(input_dim=512, num_heads=8, dropout=0.1)
    x = torch.randn(32, 10, 512)
    output, attn_weights = multi_head_attn(x, x, x)
    assert output.shape == (32, 10, 512) and attn_weights.shape == (32, 8, 10, 10)
    gqa = GroupedQueryAttention(d_model=512, num_heads=8, num_key_value_heads=4)
    assert gqa(x).shape == (32, 10, 512)
    alibi_attn = ALiBiAttention(hidden_size=512, num_heads=8, max_seq_length=2048)
    assert alibi_attn(x).shape == (32, 10, 512)
    with pytest.raises(ValueError, match="2049 tokens, but max_seq_length is 2048"):
        alibi_attn(torch.randn(1, 2049, 512))
    with pytest.raises(ValueError, match="a width of 10 is not a multiple of 3 heads"):
        MultiHeadAttention(10, 3)


@pytest.mark.parametrize("shape", ["TM", "BTM", "B1TM"])
def test_masked_keys_are_not_read(shape):
    query, key, value = torch.randn(2, 4, 8), torch.randn(2, 6, 8), torch.randn(2, 6, 8)
    mask_TM = torch.ones(4, 6)
    mask_TM[:, 4:] = 0
    mask = {"TM": mask_TM, "BTM": mask_TM.expand(2, 4, 6), "B1TM": mask_TM.expand(2, 1, 4, 6)}[shape]
    attention = MultiHeadAttention(8, 2).eval()
    out, weights = attention(query, key, value, mask)
    assert (weights[..., 4:] == 0).all()
    changed = value.clone()
    changed[:, 4:] = 9.0
    assert torch.equal(attention(query, key, changed, mask)[0], out)
    if shape != "B1TM":
        context, weights = ScaledDotProductAttention()(query, key, value, mask)
        short = ScaledDotProductAttention()(query, key[:, :4], value[:, :4])[0]
        torch.testing.assert_close(context, short, atol=1e-6, rtol=0)


def test_token_embedding():
    token_embedding = TokenEmbedding(vocab_size=10000, d_model=512)
    token_indices = torch.randint(0, 10000, (32, 20))
    embeddings = token_embedding(token_indices)
    assert embeddings.shape == (32, 20, 512)
    bound = math.sqrt(6 / (10000 + 512))  # Xavier uniform
    assert 0.99 * bound < token_embedding.weight.abs().max() <= bound
    torch.testing.assert_close(embeddings[3, 4], token_embedding.weight[token_indices[3, 4]] * math.sqrt(512))


def test_positional_encoding():
    pos_encoding = PositionalEncoding(
        d_model=512,
        max_seq_length=5000,
        dropout=0.1,
        encoding_type='sinusoidal'
    )  # fmt: skip
    inputs = torch.randn(32, 20, 512)
    encoded_inputs = pos_encoding(inputs)
    assert encoded_inputs.shape == inputs.shape
    added = SinusoidalEncoding(512)(torch.zeros(1, 4, 512))[0]
    for position in range(4):
        for pair in (0, 1, 100, 255):
            angle = position / 10000 ** (2 * pair / 512)
            expected = torch.tensor([math.sin(angle), math.cos(angle)])
            torch.testing.assert_close(added[position, 2 * pair : 2 * pair + 2], expected, atol=1e-6, rtol=0)
    learned = PositionalEncoding(16, 8, encoding_type="learned")
    assert learned(torch.zeros(1, 8, 16)).requires_grad
    with pytest.raises(ValueError, match="9 tokens, but max_seq_length is 8"):
        learned(torch.zeros(1, 9, 16))
    figure = pos_encoding.visualize_encodings()
    assert figure.axes[0].images[0].get_array().shape == (100, 512)
    assert learned.visualize_encodings().axes[0].images[0].get_array().shape == (8, 16)


def test_rotary_position_encoding():
    rotary_emb = RotaryPositionEncoding(head_dim=64, max_seq_length=5000, base=10000)
    query = torch.randn(32, 20, 8, 64)
    key = torch.randn(32, 20, 8, 64)
    query_rotated, key_rotated = rotary_emb(query, key)
    assert query_rotated.shape == query.shape and key_rotated.shape == key.shape
    torch.testing.assert_close(query_rotated.norm(dim=3), query.norm(dim=3))  # a rotation
    assert torch.equal(query_rotated[:, 0], query[:, 0])  # by nothing at position 0
    same, other = query[:1, :1].expand(1, 20, 8, 64), key[:1, :1].expand(1, 20, 8, 64)
    turned, against = rotary_emb(same, other)
    products = torch.einsum("bthd,bshd->hts", turned, against)
    # The product depends on the distance alone; sums of 64 terms of order 1.
    torch.testing.assert_close(products[:, 3, 1], products[:, 15, 13], atol=1e-4, rtol=0)
    assert rotary_emb.visualize_rotation().axes[0].images[0].get_array().shape == (100, 32)
    with pytest.raises(ValueError, match="head_dim is 7"):
        RotaryPositionEncoding(7)


@pytest.mark.parametrize(
    "init_type", ["kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal"]
)
def test_linear_layer(init_type):
    linear_layer = LinearLayer(
        in_features=512,
        out_features=256,
        bias=True,
        init_type=init_type,
        dropout=0.3,
        use_layer_norm=True
    )  # fmt: skip
    output = linear_layer.eval()(torch.randn(32, 512))
    assert output.shape == (32, 256)
    torch.testing.assert_close(output.mean(1), torch.zeros(32), atol=1e-5, rtol=0)  # normalised
    variance = 2 / 512 if "kaiming" in init_type else 2 / (512 + 256)
    assert float(linear_layer.linear.weight.detach().var()) == pytest.approx(variance, rel=0.02)
    extreme = float(linear_layer.linear.weight.detach().abs().max()) / math.sqrt(variance)
    assert (extreme <= math.sqrt(3) + 1e-5) == ("uniform" in init_type)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sigmoid"])
def test_feed_forward_block(activation):
    ff_block = FeedForwardBlock(
        input_dim=512,
        hidden_dim=2048,
        output_dim=512,
        activation=activation,
        dropout=0.2,
        use_layer_norm=True,
        use_residual=True
    )  # fmt: skip
    input_tensor = torch.randn(32, 512)
    assert ff_block(input_tensor).shape == (32, 512)
    ff_block.eval()
    f, inner = getattr(torch, activation, nn.functional.gelu), ff_block.feed_forward
    hidden = f(inner.expand(nn.functional.layer_norm(input_tensor, (512,))))
    torch.testing.assert_close(ff_block(input_tensor), input_tensor + inner.reduce(hidden))
    with pytest.raises(ValueError, match="as many outputs as inputs, got 4 and 2"):
        FeedForwardBlock(4, 8, 2, use_residual=True)


def small(**change):
    settings = {
        "d_model": 32, "num_heads": 4, "num_encoder_layers": 2, "num_decoder_layers": 2, "d_ff": 64,
        "max_seq_length": 32, **change,
    }  # fmt: skip
    return EncoderDecoderTransformer(40, 40, **settings).eval()


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "alibi"])
def test_generation_with_a_cache_is_the_argmax_of_whole_passes(positions):
    model = small(positional_encoding=positions, num_heads=4, key_value_heads=2)
    source, mask = torch.randint(4, 40, (3, 7)), torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:] = False
    inputs = DecodingInputs(bos=2, eos=3, max_tokens=8)
    written = generate(model, source, inputs, source_mask=mask)
    for row in range(3):
        ids = [2]
        while len(ids) < 9:
            with torch.no_grad():
                logits = model(source[row : row + 1], torch.tensor([ids]), mask[row : row + 1])
            ids.append(int(logits[0, -1].argmax()))
            if ids[-1] == 3:
                break
        assert written[row] == [token for token in ids[1:] if token != 3]
    alone = generate(model, source[1:2, :4], inputs)
    assert alone == written[1:2]  # padding and neighbours are not read
    assert generate(model, source, inputs, source_mask=mask, method="beam", beams=1) == written


def test_beam_search_finds_a_likelier_sequence_and_sampling_is_seeded():
    model = small(share_embeddings=True).train()
    source = torch.randint(4, 40, (4, 6))
    inputs = DecodingInputs(bos=2, eos=3, max_tokens=6)
    beams = generate(model, source, inputs, method="beam", beams=5)
    greedy = generate(model, source, inputs)
    assert model.training
    model.eval()
    for row in range(4):
        assert score(model, source[row], beams[row]) >= score(model, source[row], greedy[row]) - 1e-4
    first, again, other = (
        generate(model, source, inputs, method="sampling", seed=seed, temperature=2.0) for seed in (1, 1, 2)
    )
    assert first == again != other
    with pytest.raises(ValueError, match="temperature must be above 0"):
        generate(model, source, inputs, method="sampling", temperature=0.0)
    with pytest.raises(ValueError, match="choose one of greedy, sampling, beam"):
        generate(model, source, inputs, method="nucleus")


@torch.no_grad()
def score(model, source, ids):
    """Mean log-probability per token, the end token's included where the sequence ended by itself."""
    target = [*ids, 3] if len(ids) < 6 else ids
    logits = model(source[None], torch.tensor([[2, *target[:-1]]]))
    return float(logits.log_softmax(-1)[0, range(len(target)), target].mean())


def test_shared_embeddings_are_one_table(tmp_path):
    model = small(share_embeddings=True)
    encoder, decoder = model.encoder.tokens.embedding, model.decoder.tokens.embedding
    assert model.output.weight is encoder.weight and decoder is encoder
    model.save(tmp_path / "model")
    again = EncoderDecoderTransformer.load(tmp_path / "model")
    assert again.output.weight is again.encoder.tokens.embedding.weight
    ids = torch.randint(4, 40, (2, 5))
    assert torch.equal(again(ids, ids), model(ids, ids))
    assert small().count_parameters() - model.count_parameters() == 2 * 40 * 32
    with pytest.raises(ValueError, match="one vocabulary, got 40 source and 41 target"):
        EncoderDecoderTransformer(40, 41, 32, 4, share_embeddings=True)


def test_decoders_see_no_future():
    memory, ids = torch.randn(2, 7, 32), torch.randint(0, 40, (2, 6))
    decoder = TransformerDecoder(40, 32, 4, 2, 64, max_seq_length=16, positional_encoding="learned").eval()
    changed = ids.clone()
    changed[:, 4:] = 1
    torch.testing.assert_close(decoder(ids, memory)[:, :4], decoder(changed, memory)[:, :4])
    x, other = torch.randn(2, 6, 32), torch.randn(2, 2, 32)
    layer = TransformerDecoderLayer(32, 4, 64, use_rotary_embeddings=True).eval()
    later = torch.cat([x[:, :4], other], 1)
    torch.testing.assert_close(layer(x, memory)[:, :4], layer(later, memory)[:, :4])
    whole = Transformer(32, 4, 1, 1, 64).eval()
    torch.testing.assert_close(whole(memory, x)[:, :4], whole(memory, later)[:, :4])


def test_padding_changes_nothing():
    encoder = TransformerEncoder(40, 32, 4, 2, 64, max_seq_length=16).eval()
    ids, mask = torch.randint(0, 40, (2, 6)), torch.ones(2, 6, dtype=torch.bool)
    mask[0, 4:] = False
    torch.testing.assert_close(encoder(ids, mask)[0, :4], encoder(ids[:1, :4])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [MultiModalTransformer, CrossAttentionMultiModalTransformer])
def test_multimodal_models_learn_which_text_belongs(kind, tmp_path):
    vision = VisionTransformer(16, 8, num_classes=0, embed_dim=16, depth=1, num_heads=2)
    text = TransformerEncoder(20, 16, 2, 1, 32, 0.0, 8)
    model = kind(vision, text, 16, dropout=0.0) if kind is MultiModalTransformer else kind(
        vision, text, 16, num_heads=2, num_layers=1, dropout=0.0
    )  # fmt: skip
    images, ids = torch.randn(4, 3, 16, 16), torch.randint(0, 20, (4, 5))
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[0, 3:] = False
    head = nn.Linear(16, 2)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=5e-3)
    rows, labels = torch.tensor([0, 1, 2, 3, 1, 2, 3, 0]), torch.tensor([1] * 4 + [0] * 4)
    losses = []
    for _ in range(30):
        out = model(images[torch.tensor([0, 1, 2, 3] * 2)], ids[rows], mask[rows])
        loss = nn.functional.cross_entropy(head(out.fused), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    model.save(tmp_path / "model")
    again = kind.load(tmp_path / "model")
    assert torch.equal(again(images, ids, mask).fused, model.eval()(images, ids, mask).fused)
    other = ids.clone()
    other[0, 3:] = 7
    torch.testing.assert_close(model(images, other, mask).fused, model(images, ids, mask).fused)
    if kind is MultiModalTransformer:
        out = model(images, ids, mask)
        assert out.similarity.shape == (4, 4)
        torch.testing.assert_close(out.image.norm(dim=1), torch.ones(4))


def test_faces_are_imported_when_asked_for():
    assert set(models.CLASS_FILES) <= set(dir(models))
    with pytest.raises(AttributeError, match="no attribute 'LinearLayers'"):
        models.LinearLayers  # noqa: B018
