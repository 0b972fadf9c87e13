"""Networks of fully connected layers. B batch or any leading axes, F features, C classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sightline.models.blocks.base_model import BaseModel
from sightline.models.blocks.linear_modules import LinearLayer
from sightline.models.feed_forward import activation as make_activation

PLAIN = ("relu", "gelu", "tanh", "sigmoid")


class FeedForwardNN(BaseModel):
    """Hidden layers of linear map, layer normalisation, activation and dropout; a linear output layer.

    activation: relu, gelu, tanh or sigmoid. use_residual: a hidden layer that keeps its width is added to
    what it was given. Raises ValueError for another activation.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        activation: str = "relu",
        dropout: float = 0.0,
        use_layer_norm: bool = False,
        use_residual: bool = False,
    ):
        super().__init__()
        if activation not in PLAIN:
            raise ValueError(f"activation is {activation!r}: choose one of {', '.join(PLAIN)}")
        init_type = "kaiming_uniform" if activation in ("relu", "gelu") else "xavier_uniform"
        sizes = [input_size, *hidden_sizes]
        self.hidden = nn.ModuleList(
            LinearLayer(narrow, wide, init_type=init_type, use_layer_norm=use_layer_norm)
            for narrow, wide in zip(sizes, sizes[1:], strict=False)
        )
        self.activation = make_activation(activation)
        self.dropout = nn.Dropout(dropout)
        self.output = LinearLayer(sizes[-1], output_size, init_type="xavier_uniform")
        self.use_residual = use_residual

    def forward(self, x: Tensor) -> Tensor:
        """[..., input_size] -> [..., output_size]."""
        for layer in self.hidden:
            output = self.dropout(self.activation(layer(x)))
            x = x + output if self.use_residual and output.shape == x.shape else output
        return self.output(x)


class FeedForwardClassifier(FeedForwardNN):
    """A FeedForwardNN whose outputs are the logits of classes."""

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        num_classes: int,
        activation: str = "relu",
        dropout: float = 0.0,
        use_layer_norm: bool = False,
        use_residual: bool = False,
    ):
        super().__init__(
            input_size, hidden_sizes, num_classes, activation, dropout, use_layer_norm, use_residual
        )

    @torch.no_grad()
    def predict_proba(self, x: Tensor) -> Tensor:
        """Probability of every class, [..., C], without dropout whatever mode the model is in."""
        training = self.training
        try:
            return self.eval()(x).softmax(-1)
        finally:
            self.train(training)

    def predict(self, x: Tensor) -> Tensor:
        """The likeliest class, [...] int64."""
        return self.predict_proba(x).argmax(-1)


class MultiLayerPerceptron(FeedForwardNN):
    """A FeedForwardNN under the names of the textbooks."""

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        output_dim: int,
        activation: str = "relu",
        dropout: float = 0.0,
        use_layer_norm: bool = False,
    ):
        super().__init__(input_dim, hidden_dims, output_dim, activation, dropout, use_layer_norm)
