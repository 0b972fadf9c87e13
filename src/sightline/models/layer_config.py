"""Options of a transformer layer besides its sizes, for the text encoder and the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


class LayerConfig(NamedTuple):
    """The defaults are those of every model that was written before there was a choice.

    norm: pre (x + f(norm(x))) or post (norm(x + f(x)), as BERT). norm_type: layer (arXiv 1607.06450) or rms
    (arXiv 1910.07467). eps: of the norms. activation: a key of feed_forward.ACTIVATIONS. positions: learned,
    sinusoidal (both added to the embeddings), rotary, alibi (both inside self-attention) or none.
    key_value_heads: heads that keys and values have, each read by an equal number of query heads
    (grouped-query attention, arXiv 2305.13245; 1 is multi-query); 0 means one for every query head.
    """

    norm: str = "pre"
    norm_type: str = "layer"
    eps: float = 1e-5
    activation: str = "gelu"
    positions: str = "learned"
    key_value_heads: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> LayerConfig:
        """The fields that a config holds; it may hold other keys too."""
        return cls(**{name: config[name] for name in cls._fields if name in config})

    def make_norm(self, width: int) -> nn.Module:
        """Raises ValueError for an unknown norm_type or norm."""
        if self.norm not in ("pre", "post"):
            raise ValueError(f"norm is {self.norm!r}: choose pre or post")
        if self.norm_type not in NORMS:
            raise ValueError(f"norm_type is {self.norm_type!r}: choose {' or '.join(NORMS)}")
        return NORMS[self.norm_type](width, eps=self.eps)
