"""The position-wise feed-forward network (Vaswani et al. 2017, section 3.3), and its gated form SwiGLU
(Shazeer 2020, arXiv 2002.05202). B batch, T tokens, D width."""

from __future__ import annotations

from torch import Tensor, nn

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "swiglu": nn.SiLU}


def activation(name: str) -> nn.Module:
    """Raises ValueError, with the choices, for an unknown name."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation is {name!r}: choose one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def usual_hidden(width: int, activation: str) -> int:
    """Four times the width; two thirds of that for SwiGLU, whose third matrix then costs no more."""
    return 8 * width // 3 if activation == "swiglu" else 4 * width


class FeedForward(nn.Module):
    """x_BTD -> [B, T, D]: width -> hidden -> width (or out_width). With swiglu the activated hidden units
    are multiplied by a second, linear projection."""

    def __init__(
        self,
        width: int,
        hidden: int,
        dropout: float,
        activation_name: str = "gelu",
        out_width: int | None = None,
    ):
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.activation = activation(activation_name)
        self.dropout = nn.Dropout(dropout)
        self.reduce = nn.Linear(hidden, width if out_width is None else out_width)
        self.linear = nn.Linear(width, hidden) if activation_name == "swiglu" else None

    def forward(self, x_BTD: Tensor) -> Tensor:
        hidden_BTU = self.activation(self.expand(x_BTD))
        if self.linear is not None:
            hidden_BTU = hidden_BTU * self.linear(x_BTD)
        return self.reduce(self.dropout(hidden_BTU))
