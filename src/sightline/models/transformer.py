"""Stacks of layers. B batch, T tokens, M memory tokens, H heads, G key-value heads, L layers, S cached
tokens, D width, d head width."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sightline.models.attention import KeyValue
from sightline.models.layer_config import LayerConfig
from sightline.models.layers import CrossInputs, DecoderLayer, EncoderLayer
from sightline.models.module_list import ModuleList
from sightline.spin.amplified_attention import amplified
from sightline.spin.gate import SpinInputs, scores


class Stack(nn.Module):
    """Layers, called one after the other. checkpointing: keep a layer's input alone and compute the rest
    again for the gradient (Chen et al. 2016, arXiv 1604.06174): the same bits, less memory, more time."""

    checkpointing = False

    def call(self, layer: nn.Module, *args: Any) -> Any:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, *args, use_reentrant=False)
        return layer(*args)


class Encoder(Stack):
    """Encoder layers; a last norm where the layers are pre-norm."""

    def __init__(
        self,
        layers: int,
        width: int,
        heads: int,
        hidden: int,
        dropout: float,
        layer_config: LayerConfig,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(
                f"text.width {width} is not a multiple of text.heads {heads}: change one of them"
            )
        self.layers = ModuleList(
            EncoderLayer(width, heads, width // heads, hidden, dropout, layer_config) for _ in range(layers)
        )
        self.norm = layer_config.make_norm(width) if layer_config.norm == "pre" else nn.Identity()

    def forward(self, x_BTD: Tensor, mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x_BTD = self.call(layer, x_BTD, mask)
        return self.norm(x_BTD)


class StackOutput(NamedTuple):
    """x_BTD; cache (key, value), each [L, B, G, S + T, d]; maps [L, B, H, T, M] and gates [L, B, H, T] or
    None."""

    x: Tensor
    cache: KeyValue
    maps: Tensor | None
    gates: Tensor | None


class LayerMemory(NamedTuple):
    """Memory of one layer: keys and values of each row [B, G, M, d] and, before them, those that the B / N
    consecutive rows of an image share, [N, G, P, d]."""

    per_row: KeyValue
    shared: KeyValue | None


class Decoder(Stack):
    """Decoder layers over keys and values of the memory, computed once by memory_keys_values."""

    def __init__(
        self,
        layers: int,
        width: int,
        heads: int,
        head_width: int,
        hidden: int,
        dropout: float,
        layer_config: LayerConfig,
    ):
        super().__init__()
        self.layers = ModuleList(
            DecoderLayer(width, heads, head_width, hidden, dropout, layer_config) for _ in range(layers)
        )
        self.norm = layer_config.make_norm(width) if layer_config.norm == "pre" else nn.Identity()

    def memory_keys_values(self, memory_BMD: Tensor) -> list[KeyValue]:
        """Keys and values of a memory for every layer, each [B, G, M, d]."""
        return [layer.keys_values(memory_BMD) for layer in self.layers]

    def forward(
        self,
        x_BTD: Tensor,
        memory: list[LayerMemory],
        mask_BM: Tensor,
        image_BM: Tensor,
        cache: KeyValue | None = None,
        spin: SpinInputs | None = None,
        need_maps: bool = False,
    ) -> StackOutput:
        """memory: of every layer. An empty cache (S = 0) is the same as none. spin None: no gate at all."""
        past = 0 if cache is None else cache[0].shape[3]
        step_T = torch.arange(x_BTD.shape[1], device=x_BTD.device) + past
        causal_TS = torch.arange(past + x_BTD.shape[1], device=x_BTD.device)[None, :] <= step_T[:, None]
        outputs = []
        for index, layer in enumerate(self.layers):
            outputs.append(
                self.call(
                    layer,
                    x_BTD,
                    _cross_inputs(memory[index], mask_BM, image_BM, index, spin, need_maps),
                    causal_TS,
                    None if cache is None else (cache[0][index], cache[1][index]),
                )
            )
            x_BTD = outputs[-1].x
        return StackOutput(
            self.norm(x_BTD),
            (torch.stack([out.cache[0] for out in outputs]), torch.stack([out.cache[1] for out in outputs])),
            torch.stack([out.map for out in outputs]).float() if need_maps else None,
            None if spin is None else torch.stack([out.gate for out in outputs]),
        )


def _cross_inputs(
    memory: LayerMemory, mask_BM: Tensor, image_BM: Tensor, index: int, spin: SpinInputs | None,
    need_maps: bool,
) -> CrossInputs:  # fmt: skip
    gate_fn = None if spin is None else partial(_gate, index=index, image_BM=image_BM, spin=spin)
    amplify = None
    if spin is not None and spin.amplify != 0:
        amplify = partial(amplified, image_BM=image_BM, strength=spin.amplify)
    mask_BM = mask_BM if memory.shared is None else mask_BM[:, memory.shared[0].shape[2] :]
    return CrossInputs(memory.per_row, mask_BM[:, None, None, :], gate_fn, need_maps, memory.shared, amplify)


def _gate(attn_BHTM: Tensor, logits_BHTM: Tensor, index: int, image_BM: Tensor, spin: SpinInputs) -> Tensor:
    scores_BHT = scores(attn_BHTM, logits_BHTM, image_BM, spin.score)
    return spin.rule(scores_BHT, spin.k_L[index : index + 1], spin.alpha, index)


def checkpoint_layers(model: nn.Module) -> None:
    """Gradient checkpointing in every stack of layers, and in the transformers of timm and Hugging Face.
    Models with batch norms are left alone: computed twice, a batch would count twice in their statistics."""
    module: Any  # the switches of timm and transformers are found by name
    for module in model.modules():
        if isinstance(module, Stack):
            module.checkpointing = True
        elif any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
            continue
        elif hasattr(module, "set_grad_checkpointing"):
            module.set_grad_checkpointing()
        elif getattr(module, "supports_gradient_checkpointing", False):
            module.activation_checkpointing_enable()
