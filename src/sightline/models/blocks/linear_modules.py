"""Linear layers and a feed-forward block, as parts of larger models. B batch or any leading axes, D width."""

from __future__ import annotations

from torch import Tensor, nn

from sightline.models.feed_forward import FeedForward

INITIALISATIONS = {
    "kaiming_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "kaiming_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
}


class LinearLayer(nn.Module):
    """Linear map, then layer normalisation and dropout where asked for; the bias starts at 0.

    init_type: kaiming_* (He et al. 2015, arXiv 1502.01852; before a ReLU) or xavier_* (Glorot and Bengio
    2010; before a tanh). Raises ValueError for another.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        init_type: str = "kaiming_uniform",
        dropout: float = 0.0,
        use_layer_norm: bool = False,
    ):
        super().__init__()
        if init_type not in INITIALISATIONS:
            raise ValueError(f"init_type is {init_type!r}: choose one of {', '.join(INITIALISATIONS)}")
        self.linear = nn.Linear(in_features, out_features, bias)
        INITIALISATIONS[init_type](self.linear.weight)
        if bias:
            nn.init.zeros_(self.linear.bias)
        self.norm = nn.LayerNorm(out_features) if use_layer_norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        return self.dropout(self.norm(self.linear(x)))


class FeedForwardBlock(nn.Module):
    """Feed-forward network of one hidden layer: pre-norm and residual where asked for.

    activation: relu, gelu, tanh, sigmoid or swiglu. Raises ValueError for a residual between two widths.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        output_dim: int,
        activation: str = "relu",
        dropout: float = 0.0,
        use_layer_norm: bool = False,
        use_residual: bool = False,
    ):
        super().__init__()
        if use_residual and input_dim != output_dim:
            raise ValueError(
                f"a residual needs as many outputs as inputs, got {input_dim} and {output_dim}: "
                "make them equal or set use_residual=False"
            )
        self.norm = nn.LayerNorm(input_dim) if use_layer_norm else nn.Identity()
        self.feed_forward = FeedForward(input_dim, hidden_dim, dropout, activation, output_dim)
        self.dropout = nn.Dropout(dropout)
        self.use_residual = use_residual

    def forward(self, x: Tensor) -> Tensor:
        """[..., input_dim] -> [..., output_dim]."""
        change = self.dropout(self.feed_forward(self.norm(x)))
        return x + change if self.use_residual else change
