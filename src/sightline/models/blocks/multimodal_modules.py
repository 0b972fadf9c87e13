"""A vision transformer, and two ways to join images and texts.

Shapes: B batch, P patches (and prefix tokens), T tokens, D width, E embedding width, K classes, C,Y,X
channels and sides.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sightline.models.blocks.base_model import BaseModel
from sightline.models.blocks.transformer_modules import TransformerEncoder
from sightline.models.feed_forward import FeedForward
from sightline.models.layer_config import LayerConfig
from sightline.models.layers import CrossLayer
from sightline.models.module_list import ModuleList
from sightline.models.transformer import Encoder


class VisionTransformer(BaseModel):
    """ViT (Dosovitskiy et al. 2020, arXiv 2010.11929), the architecture of timm's vit_*: class token, learned
    positions, pre-norm, GELU. Without classes (num_classes=0) forward gives the class token's state.

    Raises ValueError when the image is not whole patches or the width not whole heads.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        num_classes: int = 1000,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"image_size {image_size} is not a multiple of patch_size {patch_size}")
        self.embed_dim, self.image_size = embed_dim, image_size
        self.patches = nn.Conv2d(in_channels, embed_dim, patch_size, patch_size)
        count = (image_size // patch_size) ** 2
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, embed_dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + count, embed_dim))
        self.dropout = nn.Dropout(dropout)
        layer_config = LayerConfig(eps=1e-6)
        self.encoder = Encoder(depth, embed_dim, num_heads, int(mlp_ratio * embed_dim), dropout, layer_config)
        self.head = nn.Linear(embed_dim, num_classes) if num_classes else nn.Identity()

    def forward_features(self, image_BCYX: Tensor) -> Tensor:
        """States of the class token and, row by row, the patches, [B, 1 + P, D]."""
        patches_BPD = self.patches(image_BCYX).flatten(2).transpose(1, 2)
        tokens_BPD = torch.cat([self.class_token.expand(len(image_BCYX), -1, -1), patches_BPD], 1)
        return self.encoder(self.dropout(tokens_BPD + self.positions))

    def forward(self, image_BCYX: Tensor) -> Tensor:
        """Logits [B, K]."""
        return self.head(self.forward_features(image_BCYX)[:, 0])


class ProjectionOutput(NamedTuple):
    """image_BE and text_BE of unit length, similarity_BB (cosines of every image with every text), and
    fused_BE of image and text of the same row."""

    image: Tensor
    text: Tensor
    similarity: Tensor
    fused: Tensor


class MultiModalTransformer(BaseModel):
    """Projection fusion: each side is summarised and projected into a common space, where the two are
    compared or joined by a feed-forward network.

    vision_model: has forward_features(image_BCYX) -> [B, P, D] and embed_dim, as VisionTransformer and the
    transformers of timm have; the first token is its summary.
    """

    def __init__(
        self,
        vision_model: VisionTransformer,
        text_model: TransformerEncoder,
        projection_dim: int = 512,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.vision_model, self.text_model = vision_model, text_model
        self.image_projection = nn.Linear(vision_model.embed_dim, projection_dim)
        self.text_projection = nn.Linear(text_model.d_model, projection_dim)
        # A hidden layer: without one image and text would only be added, and nothing could relate them.
        self.fusion = FeedForward(2 * projection_dim, 2 * projection_dim, dropout, "gelu", projection_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, image_BCYX: Tensor, ids_BT: Tensor, mask_BT: Tensor | None = None) -> ProjectionOutput:
        """mask_BT: True = a token."""
        summary_BD = self.vision_model.forward_features(image_BCYX)[:, 0]
        text_BD = masked_mean(self.text_model(ids_BT, mask_BT), mask_BT)
        image_BE = self.image_projection(self.dropout(summary_BD))
        text_BE = self.text_projection(self.dropout(text_BD))
        fused_BE = self.fusion(torch.cat([image_BE, text_BE], 1))
        image_BE, text_BE = (nn.functional.normalize(x, dim=1) for x in (image_BE, text_BE))
        return ProjectionOutput(image_BE, text_BE, image_BE @ text_BE.T, fused_BE)


class CrossAttentionOutput(NamedTuple):
    """states_BTE of the text's tokens, each knowing the image and the text; fused_BE, their mean."""

    states: Tensor
    fused: Tensor


class CrossAttentionMultiModalTransformer(BaseModel):
    """Cross-attention fusion: in every layer the text's tokens attend over [image ; text]; the arguments of
    MultiModalTransformer, and the size of the fusion. Raises ValueError for a width of no whole heads."""

    def __init__(
        self,
        vision_model: VisionTransformer,
        text_model: TransformerEncoder,
        fusion_dim: int = 512,
        num_heads: int = 8,
        num_layers: int = 2,
        dropout: float = 0.1,
    ):
        super().__init__()
        if fusion_dim % num_heads:
            raise ValueError(f"fusion_dim {fusion_dim} is not a multiple of num_heads {num_heads}")
        self.vision_model, self.text_model = vision_model, text_model
        self.image_projection = nn.Linear(vision_model.embed_dim, fusion_dim)
        self.text_projection = nn.Linear(text_model.d_model, fusion_dim)
        self.layers = ModuleList(
            CrossLayer(fusion_dim, num_heads, fusion_dim // num_heads, 4 * fusion_dim, dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(fusion_dim)

    def forward(
        self, image_BCYX: Tensor, ids_BT: Tensor, mask_BT: Tensor | None = None
    ) -> CrossAttentionOutput:
        """mask_BT: True = a token."""
        image_BPE = self.image_projection(self.vision_model.forward_features(image_BCYX))
        text_BTE = self.text_projection(self.text_model(ids_BT, mask_BT))
        real_BT = torch.ones_like(ids_BT, dtype=torch.bool) if mask_BT is None else mask_BT.bool()
        for layer in self.layers:
            text_BTE = layer(text_BTE, layer.image_keys_values(image_BPE), real_BT[:, None, None, :])
        text_BTE = self.norm(text_BTE)
        return CrossAttentionOutput(text_BTE, masked_mean(text_BTE, real_BT))


def masked_mean(states_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
    """The mean over the tokens that are not padding, [B, D]."""
    if mask_BT is None:
        return states_BTD.mean(1)
    weight_BT1 = mask_BT[:, :, None].to(states_BTD.dtype)
    return (states_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)
