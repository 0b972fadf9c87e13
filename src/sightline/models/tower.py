"""The interface of all towers; code above it does not depend on a particular one.

Shapes: B batch, P image patches, T text tokens, D the tower's width, V vocabulary, C,Y,X channels and
sides. A tower is a file of models/vision or models/text with `build(config: dict) -> Tower`. `tower.config`
rebuilds the architecture without reading any checkpoint: its weights travel in the artifact that holds the
tower.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from sightline.core.preprocessing import Preprocessing


class Tower(nn.Module):
    """A module that can be frozen: no gradients, and evaluation mode whatever the model around it is in.

    `loader`: Python that makes `model`, in the tower's own library, of what `save_pretrained(folder)` wrote
    into {folder}; empty for a tower of ours, which no other library has and which has no such method."""

    loader: str = ""
    width: int
    config: dict[str, Any]
    frozen: bool = False

    def freeze(self, frozen: bool = True) -> None:
        """Freeze or unfreeze; frozen batch norms keep their statistics too."""
        self.frozen = frozen
        self.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self.frozen)


class VisionTower(Tower, ABC):
    """image_BCYX (as `preprocessing` makes it of a picture) -> tokens_BPD: num_prefix_tokens that stand for
    no place (a class token, by which `summarise` knows the picture), then rows * cols of grid, row by row. A
    tower with a better summary of the image than its tokens' mean and maximum overrides `summarise` and
    `summary_width`.

    `trained_blocks`: of the tower only its last so many blocks ever train (0: all of it). Then `lower` is
    what comes before them, `upper` is they and what follows, and the tower is the one after the other, in
    evaluation mode: batch norms keep the statistics of the weights that the tower starts from."""

    grid: tuple[int, int]
    num_prefix_tokens: int = 0
    preprocessing: Preprocessing
    trained_blocks: int = 0

    @abstractmethod
    def forward(self, image_BCYX: Tensor) -> Tensor: ...

    def lower(self, image_BCYX: Tensor) -> Tensor:
        """What the trained blocks read, of any shape; the tokens of a tower that is not divided."""
        return self(image_BCYX)

    def upper(self, lower: Tensor) -> Tensor:
        """tokens_BPD from what `lower` gives."""
        return lower

    def trained_modules(self) -> list[nn.Module]:
        """The modules of `upper`; of a tower that is not divided all of it."""
        return [self]

    def freeze(self, frozen: bool = True) -> None:
        super().freeze(frozen)
        if self.trained_blocks:
            self.requires_grad_(False)
            for module in self.trained_modules():
                module.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self.trained_blocks)

    @property
    def image_size(self) -> int:
        """Side of the input, pixels."""
        return self.preprocessing.image_size

    @property
    def summary_width(self) -> int:
        return 2 * self.width

    def summarise(self, tokens_BPD: Tensor) -> Tensor:
        """Input of the image's projection, [B, summary_width]. The mean describes the whole
        image, the maximum what it holds anywhere."""
        return torch.cat([tokens_BPD.mean(1), tokens_BPD.amax(1)], 1)

    def patches(self, tokens_BPD: Tensor) -> Tensor:
        """The tokens that stand for places of the picture, [B, rows * cols, D]: without class tokens."""
        return tokens_BPD[:, self.num_prefix_tokens :] if self.num_prefix_tokens else tokens_BPD


def preprocessing_of(config: Mapping[str, Any], published: Preprocessing) -> Preprocessing:
    """What a tower's config says of preprocessing: published; plain, or nothing, as in models written before
    there was a choice; or, of a tower that was built, what it then was."""
    chosen = config.get("preprocessing", "plain")
    if chosen == "plain":
        return Preprocessing.plain(published.image_size, published.mean, published.std)
    return published if chosen == "published" else Preprocessing.from_config(chosen)


def with_preprocessing(config: Mapping[str, Any], preprocessing: Preprocessing) -> dict[str, Any]:
    """A built tower's config: what the library publishes is in it, as another version may publish another."""
    chosen = {"preprocessing": preprocessing.to_config()} if "preprocessing" in config else {}
    return {**config, **chosen}


class TextTower(Tower, ABC):
    """ids_BT and mask_BT (True = a token, False = padding) -> states_BTD. Not `projected`: the pooled states
    are the text's embedding as they are, in the width of the image's. `divided`: what `lower` computes never
    trains, and the tower is `upper` after `lower`."""

    projected: bool = True
    divided: bool = False

    @abstractmethod
    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor: ...

    def lower(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """What the part that trains reads, a row a token; the states of a tower that is not divided."""
        return self(ids_BT, mask_BT)

    def upper(self, lower_BTH: Tensor, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """states_BTD from what `lower` gives."""
        return lower_BTH

    @abstractmethod
    def word_embeddings(self) -> Tensor:
        """The input embedding of every token of the vocabulary, [V, D]."""

    @abstractmethod
    def mlm_logits(self, states_BTD: Tensor) -> Tensor:
        """Scores of the masked-language model, [B, T, V]."""

    def count(self, documents: Iterable[list[int]]) -> None:
        """Take the token statistics of the training captions, before any training; ids of one caption each.
        Towers without such statistics do nothing."""

    def pool(self, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Mean over the tokens that are not padding, [B, D]."""
        weight_BT1 = mask_BT[:, :, None].to(states_BTD.dtype)
        return (states_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)
