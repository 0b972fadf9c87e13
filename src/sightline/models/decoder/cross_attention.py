"""Our own answering model: a decoder whose cross-attention reads the memory [image tokens ; question
tokens].

Question tokens first attend over [image ; question] (the joint block); image tokens are not updated, so the
questions of one image share its keys and values. SPIN gates the heads of the cross-attention.

Shapes: N images, B rows (questions), C,Y,X channels and sides, P patches, T tokens, M = P + T memory
tokens, L layers, H heads, G key-value heads, S cached tokens, D width, d width of a head, V vocabulary, K of
them that are scored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core import registry
from sightline.models.answer_tokens import AnswerTokens
from sightline.models.attention import KeyValue
from sightline.models.dual_encoder import DualEncoder
from sightline.models.feed_forward import usual_hidden
from sightline.models.init_from_alignment import init_from_alignment
from sightline.models.layer_config import LayerConfig
from sightline.models.layers import CrossLayer
from sightline.models.positions import PatchPositions, token_positions
from sightline.models.tower import TextTower
from sightline.models.transformer import Decoder, LayerMemory
from sightline.models.vlm import VLM, Memory, StepOutput
from sightline.spin.gate import SpinInputs

# The decoder's options and their defaults; `positions` are the patches'.
OPTIONS = {
    "token_positions": "learned",
    "tie_embeddings": True,
    **LayerConfig()._asdict(),
}
del OPTIONS["positions"]


class CrossAttentionVLM(VLM):
    """config (all of it in config.json): vision, text, vocab_size, width, layers, decoder_heads,
    head_width, decoder_hidden, joint_block, joint_heads, joint_hidden, positions (of the patches),
    max_answer, max_question, dropout, blind; for blind models vision_width and grid, since they have learned
    constants in place of the image tower; answer_tokens (see AnswerTokens), where few of the tokens are
    scored; and where the decoder is to differ, token_positions (as LayerConfig.positions), the other fields
    of LayerConfig, tie_embeddings (the output matrix is the embedding)."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        config = {**OPTIONS, **config}
        layer_config = LayerConfig.of({**config, "positions": config["token_positions"]})
        width, dropout = config["width"], config["dropout"]
        self.text: TextTower = registry.load("models/text", config["text"]["tower"]).build(config["text"])
        self.text.freeze()
        self._build_image_side(config)
        self.config = {**config, "text": self.text.config}
        # The image's content enters with the variance of a word embedding, whatever the tower's scale.
        self.image_projection = nn.Linear(config["vision_width"], width)
        self.image_norm = nn.LayerNorm(width)
        self.patch_positions = (
            PatchPositions(config["grid"][0], config["grid"][1], width) if config["positions"] else None
        )
        self.question_projection = nn.Linear(self.text.width, width)
        self.embedding = nn.Embedding(config["vocab_size"], width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.joint = (
            CrossLayer(width, config["joint_heads"], config["head_width"], config["joint_hidden"], dropout)
            if config["joint_block"]
            else None
        )
        self.memory_norm = nn.LayerNorm(width)
        self.token_positions = token_positions(layer_config.positions, config["max_answer"] + 1, width)
        self.decoder = Decoder(
            config["layers"],
            width,
            config["decoder_heads"],
            config["head_width"],
            config["decoder_hidden"],
            dropout,
            layer_config,
        )
        scores = config["vocab_size"]
        if config.get("answer_tokens"):
            self.answer_tokens = AnswerTokens(config["answer_tokens"], scores)
            scores = len(config["answer_tokens"])
        self.output_bias = nn.Parameter(torch.zeros(scores))
        if not config["tie_embeddings"]:
            self.output = nn.Parameter(torch.randn(scores, width) * width**-0.5)

    def memory(
        self, image_tokens_NPD: Tensor, text_states_BTD: Tensor | None, ids_BT: Tensor, mask_BT: Tensor
    ) -> Memory:
        image_NPD = self.image_norm(self.image_projection(image_tokens_NPD))
        if self.patch_positions is not None and image_NPD.shape[1]:
            image_NPD = image_NPD + self.patch_positions()
        question_BTD = self.question_projection(text_states_BTD) + self._embed(ids_BT)
        image_mask_BP = mask_BT.new_ones(()).expand(ids_BT.shape[0], image_NPD.shape[1])
        mask_BM = torch.cat([image_mask_BP, mask_BT], 1)
        image_BM = torch.cat([image_mask_BP, torch.zeros_like(mask_BT)], 1)
        if self.joint is not None:
            key_value = self.joint.image_keys_values(image_NPD)
            question_BTD = self.joint(question_BTD, key_value, mask_BT[:, None, None, :])
        shared = self.decoder.memory_keys_values(self.memory_norm(image_NPD))
        per_row = self.decoder.memory_keys_values(self.memory_norm(question_BTD))
        return Memory([LayerMemory(*pair) for pair in zip(per_row, shared, strict=True)], mask_BM, image_BM)

    def step(
        self,
        tokens_BT: Tensor,
        cache: KeyValue | None,
        memory: Memory,
        spin: SpinInputs | None = None,
        need_maps: bool = False,
    ) -> StepOutput:
        past = 0 if cache is None else cache[0].shape[3]
        x_BTD = self._embed(tokens_BT)
        if self.token_positions is not None:
            x_BTD = x_BTD + self.token_positions(past, tokens_BT.shape[1])
        out = self.decoder(x_BTD, *memory, cache, spin, need_maps)
        output_KD = self.scored(self.embedding.weight) if self.config["tie_embeddings"] else self.output
        logits_BTK = nn.functional.linear(out.x, output_KD, self.output_bias)
        return StepOutput(logits_BTK, out.cache, out.maps, out.gates)

    def scored(self, table_VD: Tensor) -> Tensor:
        """The rows of the tokens that `step` scores."""
        return table_VD if self.answer_tokens is None else table_VD[self.answer_tokens.token_K]

    def _embed(self, ids_BT: Tensor) -> Tensor:
        return self.embedding(ids_BT) * math.sqrt(self.config["width"])


def build(config: dict[str, Any]) -> CrossAttentionVLM:
    """The model of a config, with random weights."""
    return CrossAttentionVLM(config)


def from_clip(
    clip: DualEncoder,
    finetune: dict[str, Any],
    word_ids: list[list[int]],
    plurals: Mapping[int, int] = MappingProxyType({}),
    *,
    answer_tokens: Sequence[int] | None = None,
    blind: bool = False,
) -> CrossAttentionVLM:
    """A model that starts from the towers of a dual encoder. finetune: that section of params.yaml;
    word_ids: the tokens of every word of clip.config["words"]; plurals: where a word's plural is one token,
    the word's number -> that token; answer_tokens: those that are scored, as `answer_tokens.scored` gives
    them.

    Raises ValueError when the width is not a multiple of the heads.
    """
    width, heads = finetune["width"], finetune["heads"]
    if width % heads:
        raise ValueError(
            f"finetune.width {width} is not a multiple of finetune.heads {heads}: change one of them"
        )
    options = {**OPTIONS, **{name: finetune[name] for name in OPTIONS if name in finetune}}
    model = CrossAttentionVLM(
        {
            "vision": clip.vision.config,
            "text": clip.text.config,
            "vocab_size": clip.text.word_embeddings().shape[0],
            "vision_width": clip.vision.width,
            "grid": list(clip.vision.grid),
            "width": width,
            "layers": finetune["layers"],
            "decoder_heads": heads,
            "head_width": width // heads,
            "decoder_hidden": usual_hidden(width, options["activation"]),
            "joint_block": finetune["joint_block"],
            "joint_heads": heads,
            "joint_hidden": 4 * width,
            "positions": finetune["positions"],
            **options,
            "max_answer": finetune["max_answer"],
            "max_question": finetune["max_question"],
            "dropout": finetune["dropout"],
            "blind": blind,
            **({"answer_tokens": answer_tokens} if answer_tokens else {}),
        }
    )
    model.text.load_state_dict(clip.text.state_dict())
    if not blind:
        model.vision.load_state_dict(clip.vision.state_dict())
    if finetune["init_from_alignment"]:
        init_from_alignment(model, clip, word_ids, plurals)
    return model
