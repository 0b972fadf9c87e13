"""From the pixels of a picture of one fixed size to the tokens that a language model reads, as models of
transformers do it: image tower and projector, written for any number of pictures at once.

Shapes: B pictures, P image tokens, Q patches, D width, H heads, d width of a head, C,Y,X channels and sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_position_ids

from sightline.core.preprocessing import CENTRE, RESAMPLE, Preprocessing

USUAL_SIDE = 448  # pixels, at most, of a picture for a model that reads any size


class ImageTokens(nn.Module):
    """pixels_BCYX -> image_tokens_BPD. `grid`: the tokens' rows and columns; `preprocessing`: what makes the
    pixels of a picture."""

    def __init__(self, preprocessing: Preprocessing, grid: tuple[int, int]):
        super().__init__()
        self.preprocessing, self.grid = preprocessing, grid

    @property
    def image_size(self) -> int:
        return self.preprocessing.image_size


class LlavaImage(ImageTokens):
    """LLaVA (arXiv 2310.03744): the patches' states of one layer or several, and a small network."""

    def __init__(self, model: Any, processor: Any, image_size: int | None):
        config, tower = model.config, model.model.vision_tower
        side = _only_size(tower.config.image_size, image_size)
        if config.vision_feature_select_strategy != "default":
            raise ValueError("its tokens hold more than the patches (vision_feature_select_strategy full)")
        told = processor.image_processor.to_dict()
        crop = told["crop_size"] if told.get("do_center_crop") else told["size"]
        preprocessing = Preprocessing.from_config(told | {"crop_size": crop, CENTRE: "down"})
        if preprocessing.image_size != side:
            raise ValueError(f"its processor makes pictures of {preprocessing.image_size} pixels, not {side}")
        super().__init__(preprocessing, (side // tower.config.patch_size,) * 2)
        self.tower, self.projector = tower, model.model.multi_modal_projector
        layer = config.vision_feature_layer
        self.layers = [layer] if isinstance(layer, int) else list(layer)

    def forward(self, pixels: Tensor) -> Tensor:
        states = self.tower(pixels, output_hidden_states=True).hidden_states
        return self.projector(torch.cat([states[layer][:, 1:] for layer in self.layers], -1))


class Idefics3Image(ImageTokens):
    """Idefics3 and SmolVLM (arXiv 2408.12637, 2504.05299): the whole picture as one tile; neighbouring
    patches become one token."""

    position_Q: Tensor

    def __init__(self, model: Any, processor: Any, image_size: int | None):
        tower = model.model.vision_model
        side = _only_size(tower.config.image_size, image_size)
        cells = side // tower.patch_size // model.config.scale_factor
        # The processor then gives a picture of this size as it is.
        told = processor.image_processor
        told.do_image_splitting = False
        told.size, told.max_image_size = type(told.size)(longest_edge=side), {"longest_edge": side}
        super().__init__(_squashed(told.to_dict(), side), (cells, cells))
        self.tower, self.connector = tower, model.model.connector
        self.register_buffer("position_Q", self._positions(side), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        embeddings = self.tower.embeddings
        patches_BQD = embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        patches_BQD = patches_BQD + embeddings.position_embedding(self.position_Q)
        states_BQD = self.tower.encoder(inputs_embeds=patches_BQD).last_hidden_state
        return self.connector(self.tower.post_layernorm(states_BQD))

    @torch.no_grad()
    def _positions(self, side: int) -> Tensor:
        """The number of every patch's position, as the tower counts them for a whole picture."""
        read: list[Tensor] = []
        embedding = self.tower.embeddings.position_embedding
        hook = embedding.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        self.tower(torch.zeros(1, 3, side, side))
        hook.remove()
        return read[0][0]


class Qwen2Image(ImageTokens):
    """Qwen2-VL (arXiv 2409.12191): rotary positions, four patches become one token. A picture of one size
    stands for itself and its equal twin in time."""

    cos_Qd: Tensor
    sin_Qd: Tensor
    filters: Tensor

    def __init__(self, model: Any, processor: Any, image_size: int | None):
        tower, told = model.model.visual, processor.image_processor.to_dict()
        config = tower.config
        step = config.patch_size * config.spatial_merge_size
        most = int(told["size"]["longest_edge"] ** 0.5)  # in transformers' words: of the area
        side = image_size or min(most, USUAL_SIDE) // step * step
        if side % step or not 0 < side <= most:
            raise ValueError(f"--image-size {side}: expected a multiple of {step}, at most {most}")
        cells = side // step
        super().__init__(_squashed(told, side), (cells, cells))
        self.tower, self.merge, self.patch = tower, config.spatial_merge_size, config.patch_size
        self.heads = config.num_heads
        patches = torch.tensor([[1, side // self.patch, side // self.patch]])
        with torch.no_grad():
            positions = get_vision_position_ids(patches, self.merge)
            cos_Qd, sin_Qd = tower.rotary_pos_emb(torch.zeros(1), positions)
            filters = tower.patch_embed.proj.weight.sum(2).flatten(1)
        for name, value in (("cos_Qd", cos_Qd), ("sin_Qd", sin_Qd), ("filters", filters)):
            self.register_buffer(name, value, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        x_BQD = self._patches(pixels) @ self.filters.T
        for block in self.tower.blocks:
            x_BQD = x_BQD + self._attended(block.attn, block.norm1(x_BQD))
            x_BQD = x_BQD + block.mlp(block.norm2(x_BQD))
        merger = self.tower.merger
        return merger.mlp(merger.ln_q(x_BQD).unflatten(1, (-1, self.merge**2)).flatten(2))

    def _patches(self, pixels: Tensor) -> Tensor:
        """[B, Q, C Y X of a patch], the patches of one token next to each other."""
        cells, merge, patch = self.grid[0], self.merge, self.patch
        parts = pixels.unflatten(3, (cells, merge, patch)).unflatten(2, (cells, merge, patch))
        return parts.permute(0, 2, 5, 3, 6, 1, 4, 7).flatten(1, 4).flatten(2)

    def _attended(self, attention: Any, x_BQD: Tensor) -> Tensor:
        query, key, value = attention.qkv(x_BQD).unflatten(2, (3, self.heads, -1)).unbind(2)
        query, key = apply_rotary_pos_emb_vision(query, key, self.cos_Qd, self.sin_Qd)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        out_BHQd = nn.functional.scaled_dot_product_attention(query, key, value, scale=attention.scaling)
        return attention.proj(out_BHQd.transpose(1, 2).flatten(2))


FAMILIES: dict[str, Callable[[Any, Any, int | None], ImageTokens]] = {
    "llava": LlavaImage, "idefics3": Idefics3Image, "smolvlm": Idefics3Image, "qwen2_vl": Qwen2Image,
}  # fmt: skip


def _only_size(side: int, asked: int | None) -> int:
    if asked not in (None, side):
        raise ValueError(f"--image-size {asked}: this model reads pictures of {side} pixels, leave it out")
    return side


def _squashed(told: dict[str, Any], side: int) -> Preprocessing:
    """Both sides of the whole picture become `side` pixels; the colours as the processor has them."""
    names = {number: name for name, number in RESAMPLE.items()}
    return Preprocessing(
        side, tuple(told["image_mean"]), tuple(told["image_std"]), side, names[int(told["resample"])],
        squash=True, rounding="down",
    )  # fmt: skip
