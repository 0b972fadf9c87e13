"""A small convolutional tower: fused inverted residuals (EfficientNetV2, arXiv 2104.00298), no attention.

No attention on purpose: a patch's token then depends on its surroundings only, which is what lets
the word heads and the decoder locate an object. Fused (one dense 3x3 convolution in place of 1x1 and
depthwise 3x3) because depthwise convolutions train two to four times slower on a CPU at equal parameters.
Halves the image until the grid is about 8 x 8.

Batch norm costs nothing in evaluation and folds into the convolutions at export. In data-parallel training
each process normalises with its own part of the batch (DistributedDataParallel broadcasts the first one's
running statistics), so two processes are close to, not equal to, one with the whole batch.

Shapes: B batch, P patches, D width, C,Y,X channels and sides.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.preprocessing import Preprocessing
from sightline.models.tower import VisionTower

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
GRID = 8  # patches a side that the tower aims at


def build(config: dict[str, Any]) -> SmallCNN:
    """config: width, image_size (pixels; at least 32)."""
    return SmallCNN(config)


class FusedInvertedResidual(nn.Module):
    """3x3 expansion, 1x1 projection without activation; a shortcut where the shape allows."""

    def __init__(self, channels: int, out_channels: int, stride: int, expansion: int):
        super().__init__()
        self.shortcut = stride == 1 and channels == out_channels
        self.body = nn.Sequential(
            *_convolution(channels, expansion * channels, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(expansion * channels, out_channels, 1, 1),
        )

    def forward(self, x_BCYX: Tensor) -> Tensor:
        return x_BCYX + self.body(x_BCYX) if self.shortcut else self.body(x_BCYX)


class SmallCNN(VisionTower):
    """Stem, then stages that each halve the sides and double the channels, then a 1x1 convolution to the
    width."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        self.width = width = config["width"]
        size = config["image_size"]
        self.preprocessing = Preprocessing.plain(size, MEAN, STD)
        halvings = max(2, round(math.log2(size / GRID)))
        if size % 2**halvings:
            raise ValueError(
                f"vision.image_size is {size}: small_cnn halves it {halvings} times; "
                f"use a multiple of {2**halvings}"
            )
        self.grid = (size // 2**halvings, size // 2**halvings)
        stages = [max(16, 3 * width // 2 ** (halvings + 1 - stage)) for stage in range(1, halvings)]
        channels = [max(8, width // 8), *stages]
        blocks: list[nn.Module] = [*_convolution(3, channels[0], 3, 2), nn.ReLU(inplace=True)]
        for narrow, wide in zip(channels, channels[1:], strict=False):
            blocks += [FusedInvertedResidual(narrow, wide, 2, 4), FusedInvertedResidual(wide, wide, 1, 2)]
        blocks.append(FusedInvertedResidual(channels[-1], channels[-1], 1, 2))
        self.body = nn.Sequential(*blocks, *_convolution(channels[-1], width, 1, 1))

    def forward(self, image_BCYX: Tensor) -> Tensor:
        # Channels last: convolutions, norms and the tokens below all read it in order.
        x_BDYX = self.body(image_BCYX.contiguous(memory_format=torch.channels_last))
        return x_BDYX.flatten(2).transpose(1, 2)


def _convolution(channels: int, out_channels: int, kernel: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]
