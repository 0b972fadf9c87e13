"""Encoders, decoders and what they make together, around the one stack of layers.

`**layer_options` are the fields of LayerConfig (norm, norm_type, activation, key_value_heads, eps); the
default is the post-norm, ReLU transformer of Vaswani et al. 2017 (arXiv 1706.03762).

Shapes: B batch, T target tokens, S source tokens, L layers, H heads, D width, d width of a head, V
vocabulary. Masks: bool, True = a token, False = padding, [B, S]; of a layer also any that broadcasts to
[B, H, *, *].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sightline.models.attention import KeyValue
from sightline.models.blocks.base_model import BaseModel
from sightline.models.blocks.positional_modules import PositionalEncoding
from sightline.models.blocks.token_embeddings import TokenEmbedding
from sightline.models.layer_config import LayerConfig
from sightline.models.layers import CrossInputs, DecoderLayer, EncoderLayer
from sightline.models.transformer import Decoder, Encoder, LayerMemory, StackOutput


class _Layer(nn.Module):
    layer_class: type[EncoderLayer | DecoderLayer]

    def __init__(
        self, d_model: int, num_heads: int, d_ff: int, dropout: float = 0.1,
        use_rotary_embeddings: bool = False, **layer_options: Any,
    ):  # fmt: skip
        super().__init__()
        layer_config = _layer_config(layer_options, "rotary" if use_rotary_embeddings else "none")
        head_width = _head_width(d_model, num_heads)
        self.layer = self.layer_class(d_model, num_heads, head_width, d_ff, dropout, layer_config)


class TransformerEncoderLayer(_Layer):
    """Self-attention and feed-forward, each with residual and norm."""

    layer_class = EncoderLayer

    def forward(self, x_BTD: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        return self.layer(x_BTD, layer_mask(mask))


class TransformerDecoderLayer(_Layer):
    """Causal self-attention, attention to a memory and feed-forward, each with residual and norm."""

    layer_class = DecoderLayer
    layer: DecoderLayer

    def forward(
        self, x_BTD: Tensor, memory_BSD: Tensor, mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """[B, T, D] -> [B, T, D]. mask: in addition to the causal one."""
        causal = torch.ones(x_BTD.shape[1], x_BTD.shape[1], dtype=torch.bool, device=x_BTD.device).tril()
        visible = layer_mask(mask)
        self_mask = causal if visible is None else causal & visible
        key_value = self.layer.cross_attention.keys_values(memory_BSD)
        cross = CrossInputs(key_value, layer_mask(memory_mask))
        return self.layer(x_BTD, cross, self_mask).x


class TransformerEncoder(BaseModel):
    """Tokens to states: embedding, positions, layers.

    positional_encoding: sinusoidal, learned, rotary, alibi or none.
    """

    def __init__(
        self, vocab_size: int, d_model: int = 512, num_heads: int = 8, num_layers: int = 6, d_ff: int = 2048,
        dropout: float = 0.1, max_seq_length: int = 5000, positional_encoding: str = "sinusoidal",
        **layer_options: Any,
    ):  # fmt: skip
        super().__init__()
        self.d_model = d_model
        _head_width(d_model, num_heads)
        self.tokens = Tokens(vocab_size, d_model, dropout, max_seq_length, positional_encoding)
        layer_config = _layer_config(layer_options, positional_encoding)
        self.encoder = Encoder(num_layers, d_model, num_heads, d_ff, dropout, layer_config)

    def forward(self, ids_BS: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, S] -> states [B, S, D]."""
        return self.encoder(self.tokens(ids_BS), layer_mask(mask))


class TransformerDecoder(BaseModel):
    """Tokens and a memory to states; the encoder's arguments."""

    def __init__(
        self, vocab_size: int, d_model: int = 512, num_heads: int = 8, num_layers: int = 6, d_ff: int = 2048,
        dropout: float = 0.1, max_seq_length: int = 5000, positional_encoding: str = "sinusoidal",
        **layer_options: Any,
    ):  # fmt: skip
        super().__init__()
        self.d_model = d_model
        self.tokens = Tokens(vocab_size, d_model, dropout, max_seq_length, positional_encoding)
        layer_config = _layer_config(layer_options, positional_encoding)
        head_width = _head_width(d_model, num_heads)
        self.decoder = Decoder(num_layers, d_model, num_heads, head_width, d_ff, dropout, layer_config)

    def forward(self, ids_BT: Tensor, memory_BSD: Tensor, memory_mask: Tensor | None = None) -> Tensor:
        """[B, T] and [B, S, D] -> states [B, T, D]; a state knows its token and those before it."""
        return self.step(ids_BT, None, self.decoder.memory_keys_values(memory_BSD), memory_mask).x

    def step(
        self, ids_BT: Tensor, cache: KeyValue | None, memory: list[KeyValue],
        memory_mask: Tensor | None = None,
    ) -> StackOutput:  # fmt: skip
        """T more tokens after those of the cache; memory: decoder.memory_keys_values of it."""
        past = 0 if cache is None else cache[0].shape[3]
        return _decode(self.decoder, self.tokens(ids_BT, past), memory, memory_mask, cache)


class Transformer(BaseModel):
    """Encoder and decoder over sequences of vectors: embeddings and outputs belong to the caller."""

    def __init__(
        self, d_model: int = 512, num_heads: int = 8, num_encoder_layers: int = 6,
        num_decoder_layers: int = 6, d_ff: int = 2048, dropout: float = 0.1, **layer_options: Any,
    ):  # fmt: skip
        super().__init__()
        layer_config, head_width = _layer_config(layer_options, "none"), _head_width(d_model, num_heads)
        self.encoder = Encoder(num_encoder_layers, d_model, num_heads, d_ff, dropout, layer_config)
        self.decoder = Decoder(
            num_decoder_layers, d_model, num_heads, head_width, d_ff, dropout, layer_config
        )

    def forward(self, source_BSD: Tensor, target_BTD: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """[B, T, D]; a target vector knows the whole source and the target up to itself."""
        memory_BSD = self.encoder(source_BSD, layer_mask(source_mask))
        return _decode(self.decoder, target_BTD, self.decoder.memory_keys_values(memory_BSD), source_mask).x


class EncoderDecoderTransformer(BaseModel):
    """Sequence to sequence: forward scores given targets, inference.block_generation.generate writes them.

    share_embeddings: source, target and output use one table (Vaswani et al. 2017, section 3.4). Raises
    ValueError when the vocabularies then differ in size.
    """

    def __init__(
        self, src_vocab_size: int, tgt_vocab_size: int, d_model: int = 512, num_heads: int = 8,
        num_encoder_layers: int = 6, num_decoder_layers: int = 6, d_ff: int = 2048, dropout: float = 0.1,
        max_seq_length: int = 5000, positional_encoding: str = "sinusoidal", share_embeddings: bool = False,
        **layer_options: Any,
    ):  # fmt: skip
        super().__init__()
        if share_embeddings and src_vocab_size != tgt_vocab_size:
            raise ValueError(
                f"share_embeddings needs one vocabulary, got {src_vocab_size} source and {tgt_vocab_size} "
                "target tokens"
            )
        rest = (d_ff, dropout, max_seq_length, positional_encoding)
        self.encoder = TransformerEncoder(
            src_vocab_size, d_model, num_heads, num_encoder_layers, *rest, **layer_options
        )
        self.decoder = TransformerDecoder(
            tgt_vocab_size, d_model, num_heads, num_decoder_layers, *rest, **layer_options
        )
        self.output = nn.Linear(d_model, tgt_vocab_size)
        if share_embeddings:
            self.decoder.tokens.embedding = self.encoder.tokens.embedding
            self.output.weight = self.encoder.tokens.embedding.weight

    def forward(self, source_BS: Tensor, target_BT: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """Logits of the token after each of the target's, [B, T, V]."""
        memory_BSD = self.encoder(source_BS, source_mask)
        return self.output(self.decoder(target_BT, memory_BSD, source_mask))


class Tokens(nn.Module):
    """Embedding, and positions where they are added: what encoder and decoder begin with."""

    def __init__(self, vocab_size: int, width: int, dropout: float, longest: int, positions: str):
        super().__init__()
        self.embedding = TokenEmbedding(vocab_size, width)
        added = positions in ("sinusoidal", "learned")
        self.positions = PositionalEncoding(width, longest, dropout, positions) if added else None
        self.dropout = nn.Dropout(0.0 if added else dropout)

    def forward(self, ids_BT: Tensor, start: int = 0) -> Tensor:
        x_BTD = self.embedding(ids_BT)
        return self.dropout(x_BTD if self.positions is None else self.positions(x_BTD, start))


def layer_mask(mask: Tensor | None) -> Tensor | None:
    """Padding [B, S] as a mask over keys, [B, 1, 1, S]; others as they are, bool."""
    if mask is None:
        return None
    return (mask[:, None, None, :] if mask.ndim == 2 else mask).bool()


def _decode(
    decoder: Decoder, x_BTD: Tensor, memory: list[KeyValue], mask: Tensor | None,
    cache: KeyValue | None = None,
) -> StackOutput:  # fmt: skip
    if mask is None:
        mask = torch.ones(len(x_BTD), memory[0][0].shape[2], dtype=torch.bool, device=x_BTD.device)
    layers = [LayerMemory(key_value, None) for key_value in memory]
    return decoder(x_BTD, layers, mask.bool(), mask.bool(), cache)


def _layer_config(layer_options: dict[str, Any], positions: str) -> LayerConfig:
    return LayerConfig(**{"norm": "post", "activation": "relu", **layer_options, "positions": positions})


def _head_width(width: int, heads: int) -> int:
    if width % heads:
        raise ValueError(f"d_model {width} is not a multiple of num_heads {heads}: change one of them")
    return width // heads
