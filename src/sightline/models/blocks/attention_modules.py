"""The attention mechanisms of the field, each a few lines around the one attention.

Shapes: B batch, T queries, M keys, H heads, D width, d width of a head. Masks: True (or 1) = attend, of shape
[T, M], [B, T, M] or one that broadcasts to [B, H, T, M].
"""

from __future__ import annotations

from torch import Tensor, nn

from sightline.models.attention import Attention, attend


class ScaledDotProductAttention(nn.Module):
    """softmax(query key^T / sqrt(d)) value (Vaswani et al. 2017, section 3.2.1); has no weights."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """query [B, T, d] and key, value [B, M, d], or all with heads, [B, H, *, d] -> context like query,
        and weights [B, T, M] or [B, H, T, M], those before dropout."""
        heads = query.ndim == 4
        parts = (query, key, value) if heads else (query[:, None], key[:, None], value[:, None])
        context, weights, _ = attend(parts[0], parts[1:], full_mask(mask), dropout=self.dropout)
        return (context, weights) if heads else (context[:, 0], weights[:, 0])


class SimpleAttention(ScaledDotProductAttention):
    """One head, nothing projected: what attention is, for reading. query [B, T, D]; key, value [B, M, D]."""


class MultiHeadAttention(nn.Module):
    """Multi-head attention with projections (Vaswani et al. 2017, section 3.2.2).

    use_rotary_embeddings: rotary positions, for self-attention. Raises ValueError when input_dim is not a
    multiple of num_heads.
    """

    def __init__(
        self, input_dim: int, num_heads: int, dropout: float = 0.0, use_rotary_embeddings: bool = False
    ):
        super().__init__()
        positions = "rotary" if use_rotary_embeddings else "none"
        self.attention = _self_attention(input_dim, num_heads, dropout, positions=positions)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """query [B, T, D]; key, value [B, M, D] -> output [B, T, D] and weights [B, H, T, M]."""
        key_value = self.attention.keys_values(key, value)
        attended = self.attention.attend(query, key_value, full_mask(mask), need_weights=True)
        assert attended.attn is not None  # asked for
        return attended.out, attended.attn


class GroupedQueryAttention(nn.Module):
    """Self-attention whose query heads share fewer keys and values (Ainslie et al. 2023, arXiv 2305.13245).

    Raises ValueError when num_heads is not a multiple of num_key_value_heads.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_rotary_embeddings: bool = False,
    ):
        super().__init__()
        positions = "rotary" if use_rotary_embeddings else "none"
        self.attention = _self_attention(d_model, num_heads, dropout, num_key_value_heads, positions)

    def forward(self, x_BTD: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        return self.attention(x_BTD, mask=full_mask(mask)).out


class ALiBiAttention(nn.Module):
    """Self-attention that prefers what is near, each head at a slope of its own (Press et al. 2021, arXiv
    2108.12409)."""

    def __init__(self, hidden_size: int, num_heads: int, max_seq_length: int = 2048, dropout: float = 0.0):
        super().__init__()
        self.max_seq_length = max_seq_length
        self.attention = _self_attention(hidden_size, num_heads, dropout, positions="alibi")

    def forward(self, x_BTD: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]. Raises ValueError beyond max_seq_length."""
        if x_BTD.shape[1] > self.max_seq_length:
            raise ValueError(f"{x_BTD.shape[1]} tokens, but max_seq_length is {self.max_seq_length}")
        return self.attention(x_BTD, mask=full_mask(mask)).out


def full_mask(mask: Tensor | None) -> Tensor | None:
    """A mask as the one attention wants it: bool, broadcastable to [B, H, T, M]."""
    if mask is None:
        return None
    return (mask[:, None] if mask.ndim == 3 else mask).bool()


def _self_attention(
    width: int, heads: int, dropout: float, key_value_heads: int = 0, positions: str = "none"
) -> Attention:
    if width % heads:
        raise ValueError(f"a width of {width} is not a multiple of {heads} heads: change one of them")
    return Attention(width, width, heads, width // heads, dropout, key_value_heads, positions)
