"""An image-text-to-text model of transformers as a `VLM`: engines run it, the exporter traces it, SPIN gates
its heads and explanations read its attention as they do with the models that are trained here.

The prompt is [before ; picture ; between and question], and the memory keys and values of all layers over it,
in the order [picture ; before ; between and question], since keys know their positions. The first token that
the decoder is fed is the prompt's last (`ChatPrompt.start`). Families: LLaVA, Idefics3 and SmolVLM, Qwen2-VL.

Shapes: N images, B rows (questions), P image tokens, T tokens, F tokens before the picture, M memory tokens,
L layers, H heads, G key-value heads, S cached tokens, D width, d width of a head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sightline.data.tokenizer import Tokenizer
from sightline.data.tokenizer_files import TOKENIZER
from sightline.inference import bundle_settings, chat_prompt
from sightline.inference.bundle_settings import BundleSettings
from sightline.inference.chat_prompt import ChatPrompt
from sightline.inference.image_text_vision import FAMILIES, ImageTokens
from sightline.inference.session import Session
from sightline.inference.torch_engine import TorchEngine
from sightline.inference.transformers_model import TransformersModel
from sightline.models.attention import KeyValue, attend
from sightline.models.decoder.hf import ATTENTION, Attend, Reading, begin_step, causal, followed
from sightline.models.transformer import LayerMemory
from sightline.models.vlm import VLM, Memory, StepOutput
from sightline.spin.gate import SpinInputs

STOCK = "sdpa"
CROSS_ATTENTION = "cross_attention_layers"  # of a text config whose picture is no part of the prompt


class ImageTextModel(VLM):
    """config: architecture (as transformers writes it), vocab_size (of the tokenizer), vision_width, grid,
    layers, decoder_heads, key_value_heads, head_width, max_answer, max_question. It is never blind and never
    searches. first: tokens of the prompt before the picture."""

    text = None
    attend: Attend = staticmethod(attend)

    def __init__(self, model: Any, vision: ImageTokens, first: int, sizes: dict[str, Any]):
        super().__init__()
        text = model.config.get_text_config()
        heads = text.num_attention_heads
        self.config = {
            "architecture": model.config.to_diff_dict(), "blind": False, "searches": False,
            "grid": list(vision.grid), "vision_width": text.hidden_size, "width": text.hidden_size,
            "layers": text.num_hidden_layers, "decoder_heads": heads,
            "key_value_heads": getattr(text, "num_key_value_heads", None) or heads,
            "head_width": getattr(text, "head_dim", None) or text.hidden_size // heads, **sizes,
        }  # fmt: skip
        model.set_attn_implementation({_text_part(model): ATTENTION})
        self.vision = vision  # type: ignore[assignment]  # tower and projector
        self.language_model: Any = getattr(model.model, "text_model", None) or model.model.language_model
        self.head: Any = model.lm_head
        self.spatial = model.config.model_type == "qwen2_vl"
        self.first = first

    def image_tokens(self, image_BCYX: Tensor) -> Tensor:
        return self.vision(image_BCYX)

    def memory(
        self, image_tokens_NPD: Tensor, text_states_BTD: Tensor | None, ids_BT: Tensor, mask_BT: Tensor
    ) -> Memory:
        """ids: the prompt without picture and `start`, beginning with the tokens before the picture."""
        (images, patches), (rows, count) = image_tokens_NPD.shape[:2], ids_BT.shape
        first, device, x_BTD = self.first, ids_BT.device, self._embed(ids_BT)
        order_1F = torch.arange(first, device=device)[None]
        # The same in every row.
        before = self._read(x_BTD[:1, :first], order_1F, causal(first, 0, device)[None])
        look = causal(patches, first, device).expand(images, -1, -1)
        places = self._places(images, device)
        image = self._read(image_tokens_NPD, places, look, memory=_repeated(before, images))
        position_BT = (mask_BT.cumsum(1) - 1).clamp(min=0) + (self._extent if patches else 0)
        seen_BTK = causal(count - first, first, device) & mask_BT[:, None, :]
        front = _repeated(before, rows)
        rest = self._read(x_BTD[:, first:], position_BT[:, first:], seen_BTK, image, front)
        layers = [
            LayerMemory(followed(before_kv, rest_kv), image_kv)
            for before_kv, rest_kv, image_kv in zip(front, rest, image, strict=True)
        ]
        image_BP = mask_BT.new_ones(()).expand(rows, patches)
        mask_BM = torch.cat([image_BP, mask_BT], 1)
        return Memory(layers, mask_BM, torch.cat([image_BP, torch.zeros_like(mask_BT)], 1))

    def step(
        self,
        tokens_BT: Tensor,
        cache: KeyValue | None,
        memory: Memory,
        spin: SpinInputs | None = None,
        need_maps: bool = False,
    ) -> StepOutput:
        reading, mask_BTK, order_T = begin_step(self.attend, tokens_BT, cache, memory, spin)
        position_BT = self._length(memory) + order_T
        states_BTD = self._states(self._embed(tokens_BT), position_BT, mask_BTK, reading)
        # Some language models have embeddings to spare, which stand for no token.
        logits_BTV = self.head(states_BTD)[..., : self.config["vocab_size"]]
        return reading.output(logits_BTV, need_maps)

    @property
    def _extent(self) -> int:
        """How many positions a picture takes: Qwen2-VL counts its rows or columns, not its tokens."""
        rows, columns = self.vision.grid
        return max(rows, columns) if self.spatial else rows * columns

    def _length(self, memory: Memory) -> Tensor:
        """The position after the memory's last, [B, 1]."""
        image_B1 = (memory.mask_BM & memory.image_BM).sum(1, keepdim=True)
        text_B1 = memory.mask_BM.sum(1, keepdim=True) - image_B1
        return text_B1 + (image_B1 > 0) * self._extent

    def _places(self, images: int, device: torch.device) -> Tensor:
        """Positions of the picture's tokens, [N, P]; with places in the picture [3, N, P]."""
        first, (rows, columns) = self.first, self.vision.grid
        order_P = torch.arange(rows * columns, device=device)
        if not self.spatial:
            return (order_P + first).expand(images, -1)
        places_3P = torch.stack([torch.zeros_like(order_P), order_P // columns, order_P % columns]) + first
        return places_3P[:, None].expand(-1, images, -1)

    def _read(
        self, x_BTD: Tensor, position_BT: Tensor, mask_BTK: Tensor, shared: list[KeyValue] | None = None,
        memory: list[KeyValue] | None = None,
    ) -> list[KeyValue]:  # fmt: skip
        """Keys and values of new tokens after those of `shared` and `memory`, of every layer."""
        if not x_BTD.shape[1]:
            config = self.config
            none = x_BTD.new_zeros(len(x_BTD), config["key_value_heads"], 0, config["head_width"])
            return [(none, none)] * config["layers"]
        reading = Reading(self.attend, shared, memory)
        self._states(x_BTD, position_BT, mask_BTK, reading)
        return reading.grown

    def _states(self, x_BTD: Tensor, position_BT: Tensor, mask_BTK: Tensor, reading: Reading) -> Tensor:
        return self.language_model(
            inputs_embeds=x_BTD, attention_mask=mask_BTK[:, None], position_ids=position_BT, use_cache=False,
            reading=reading,
        ).last_hidden_state  # fmt: skip

    def _embed(self, ids: Tensor) -> Tensor:
        return self.language_model.get_input_embeddings()(ids)


@contextmanager
def stock_attention(model: Any) -> Iterator[None]:
    """The model for a while with the attention of transformers in place of ours."""
    model.set_attn_implementation({_text_part(model): STOCK})
    try:
        yield
    finally:
        model.set_attn_implementation({_text_part(model): ATTENTION})


def _text_part(model: Any) -> str:
    """The name of the language model's config."""
    text = model.config.get_text_config()
    return next(name for name in model.config.sub_configs if getattr(model.config, name) is text)


@dataclass(frozen=True)
class Opened:
    """A model with what a session needs of it."""

    vlm: ImageTextModel
    tokenizer: Tokenizer
    settings: BundleSettings

    def session(self, engine: TorchEngine | None = None) -> Session:
        """Asks the PyTorch model; `engine`: of this model, with other settings."""
        made = TorchEngine(self.vlm, None) if engine is None else engine
        return Session(made, self.tokenizer, self.vlm.vision.preprocessing, self.settings)


def open_model(
    loaded: TransformersModel, image_size: int | None, question_tokens: int, answer_tokens: int
) -> Opened:
    """`loaded`, whose attention is from now on ours. question_tokens: of the longest question's words;
    answer_tokens: of the longest answer; image_size: side of the pictures where the model reads several.

    Raises ValueError for a model of another structure.
    """
    model, processor, folder = loaded.model, loaded.processor, loaded.folder
    family, config = FAMILIES.get(model.config.model_type), model.config
    if family is None:
        how = ", whose picture comes by cross-attention" * bool(
            getattr(config.get_text_config(), CROSS_ATTENTION, None)
        )
        raise ValueError(
            f"{folder}: a model of the kind {config.model_type}{how}; expected one that reads its picture as "
            f"tokens of its prompt: {', '.join(FAMILIES)}; audit it as it is, by its answers alone"
        )
    if not (folder / TOKENIZER).is_file():
        raise ValueError(f"{folder / TOKENIZER}: no such file; save its tokenizer in the fast format")
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    try:
        vision = family(model, processor, image_size)
        side = vision.image_size
        grey = Image.fromarray(np.full((side, side, 3), 128, np.uint8))
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        end = tokenizer.eos if tokenizer.eos in ends or ends == [None] else ends[0]
        prompt, patches = chat_prompt.read(processor, tokenizer, grey, config.image_token_id, end)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{folder}: {error}") from error
    if patches != vision.grid[0] * vision.grid[1]:
        raise ValueError(f"{folder}: its prompt has {patches} places for a picture of {vision.grid} tokens")
    text = config.get_text_config()
    if tokenizer.size > text.vocab_size:
        raise ValueError(f"{folder}: {tokenizer.size} tokens, but {text.vocab_size} embeddings")
    max_question = prompt.fixed + _words(prompt, tokenizer) + question_tokens
    limits = [getattr(text, name, None) for name in ("max_position_embeddings", "sliding_window")]
    limit, longest = min(filter(None, limits), default=None), patches + max_question + answer_tokens
    if limit is not None and limit < longest:
        raise ValueError(
            f"{folder}: reads {limit} tokens at once, but picture, question and answer take up to {longest}: "
            "give fewer --question-tokens or --answer-tokens"
        )
    sizes = {"vocab_size": tokenizer.size, "max_question": max_question, "max_answer": answer_tokens}
    settings = BundleSettings(
        max_question=max_question, max_text=max_question, prompt=prompt,
        generation=bundle_settings.greedy_generation(answer_tokens),
    )  # fmt: skip
    return Opened(ImageTextModel(model, vision, len(prompt.before), sizes).eval(), tokenizer, settings)


def _words(prompt: ChatPrompt, tokenizer: Tokenizer) -> int:
    """Tokens of the words that stand around every question."""
    return len(prompt.encode(tokenizer, "", prompt.fixed + 2**10)) + 1 - prompt.fixed


def _repeated(layers: list[KeyValue], rows: int) -> list[KeyValue]:
    """Of one row, for all of them."""
    return [(key.expand(rows, -1, -1, -1), value.expand(rows, -1, -1, -1)) for key, value in layers]
