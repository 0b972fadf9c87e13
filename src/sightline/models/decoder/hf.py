"""A causal language model of transformers as the decoder: GPT-2, Llama (SmolLM2), Qwen and others whose
attention goes through transformers' AttentionInterface.

The model reads [image tokens, projected to its embeddings ; question] and continues with the answer: the
memory is keys and values of all its layers over image and question, a step is more tokens whose
self-attention reads [memory ; tokens before]. Attention maps are the part of a step's attention that falls on
the memory; SPIN gates the heads of the self-attention by that on the image. Image tokens come first and see
no question, so the questions of one image share their keys and values. The text tower reads nothing here.

Weights are read from safetensors only, and no code of a checkpoint is run. Shapes: N images, B rows
(questions), P patches, T tokens, M = P + T memory tokens, L layers, H heads, G key-value heads, S cached
tokens, K = M + S + T keys, D width, d width of a head, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM

from sightline.core import hub_files
from sightline.models.attention import KeyValue, attend
from sightline.models.dual_encoder import DualEncoder
from sightline.models.quiet_loading import quiet_loading
from sightline.models.transformer import LayerMemory
from sightline.models.vlm import VLM, Memory, StepOutput
from sightline.spin.amplified_attention import amplified
from sightline.spin.gate import SpinInputs, scores

ATTENTION = "sightline_reading"  # name of our attention in transformers' AttentionInterface
UNSUPPORTED = ("softcap", "s_aux", "position_bias")  # arguments of attentions that compute something else
Attend = Callable[..., tuple[Tensor, Tensor, Tensor]]  # as models.attention.attend


@dataclass
class Reading:
    """One call of the language model: what its self-attentions read before the new tokens, by layer, in this
    order (`shared` by the rows of an image, `memory` of each row, `cache` of the answer so far; None:
    nothing), the gate, and what they leave behind, one entry a layer: the grown cache, maps_BHTM and
    gates_BHT."""

    attend: Attend
    shared: list[KeyValue] | None = None
    memory: list[KeyValue] | None = None
    cache: KeyValue | None = None
    image_BM: Tensor | None = None
    spin: SpinInputs | None = None
    grown: list[KeyValue] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)
    gates: list[Tensor] = field(default_factory=list)

    def attention(
        self, layer: int, query_BHTd: Tensor, new: KeyValue, mask: Tensor, dropout: nn.Module | None
    ) -> Tensor:
        """The heads' outputs, [B, H, T, d]; mask over the keys that rows do not share."""
        if self.cache is not None:
            new = followed((self.cache[0][layer], self.cache[1][layer]), new)
        self.grown.append(new)
        key_value = new if self.memory is None else followed(self.memory[layer], new)
        shared = None if self.shared is None else self.shared[layer]
        spin = self.spin
        logits_fn = None
        if spin is not None and self.image_BM is not None and spin.amplify != 0:
            logits_fn = partial(_amplified, image_BM=self.image_BM, strength=spin.amplify)
        out_BHTd, attn_BHTK, logits_BHTK = self.attend(
            query_BHTd, key_value, mask, shared, dropout=dropout, logits_fn=logits_fn
        )
        if self.image_BM is not None:
            memory = self.image_BM.shape[1]
            self.maps.append(attn_BHTK[..., :memory])
            if spin is not None:
                scores_BHT = scores(self.maps[-1], logits_BHTK[..., :memory], self.image_BM, spin.score)
                gate_BHT = spin.rule(scores_BHT, spin.k_L[layer : layer + 1], spin.alpha, layer)
                self.gates.append(gate_BHT)
                out_BHTd = out_BHTd * gate_BHT[..., None].to(out_BHTd.dtype)
        return out_BHTd

    def output(self, logits_BTV: Tensor, need_maps: bool) -> StepOutput:
        """Of a step that has been read."""
        keys, values = (torch.stack(parts) for parts in zip(*self.grown, strict=True))
        return StepOutput(
            logits_BTV,
            (keys, values),
            torch.stack(self.maps).float() if need_maps else None,
            None if self.spin is None else torch.stack(self.gates),
        )


def _amplified(logits_BHTK: Tensor, image_BM: Tensor, strength: float) -> Tensor:
    image_BK = nn.functional.pad(image_BM, (0, logits_BHTK.shape[-1] - image_BM.shape[1]))
    return amplified(logits_BHTK, image_BK, strength)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    *,
    reading: Reading,
    scaling: float | None = None,
    dropout: float = 0.0,
    **rest: Any,
) -> tuple[Tensor, None]:
    """The attention implementation ATTENTION: [B, T, H, d] of [B, H or G, T, d] each."""
    unsupported = [name for name in UNSUPPORTED if rest.get(name) is not None]
    if unsupported:
        raise ValueError(
            f"decoder: {type(module).__name__} attends with {', '.join(unsupported)}, which is not computed "
            "here: choose a model like GPT-2, Llama or Qwen"
        )
    usual = query.shape[-1] ** -0.5  # the scale that `attend` takes
    if scaling is not None and scaling != usual:
        query = query * (scaling / usual)
    layer: Any = module.layer_idx  # every attention of transformers that takes the interface has one
    noise = nn.Dropout(dropout) if dropout else None
    out_BHTd = reading.attention(layer, query, (key, value), mask, noise)
    return out_BHTd.transpose(1, 2), None


AttentionInterface.register(ATTENTION, _attention)


class CausalVLM(VLM):
    """config: decoder (hf), architecture (of the language model, as transformers writes it), vocab_size and
    end (of its tokenizer: the size, and the token that ends a text), vision, vision_width, grid, width,
    layers, decoder_heads, key_value_heads, head_width, max_answer, max_question, blind."""

    loader = (
        "from transformers import AutoModelForCausalLM\n\n"
        'model = AutoModelForCausalLM.from_pretrained("{folder}")'
    )
    text = None
    attend: Attend = staticmethod(attend)

    def __init__(self, config: dict[str, Any], language_model: nn.Module | None = None):
        super().__init__()
        self.config = config
        self._build_image_side(config)
        width = config["width"]
        self.projector = nn.Sequential(
            nn.Linear(config["vision_width"], width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width)
        )
        if language_model is None:
            architecture = AutoConfig.for_model(**config["architecture"])
            language_model = AutoModelForCausalLM.from_config(architecture, attn_implementation=ATTENTION)
        self.language_model: Any = language_model  # torch types no part of it
        self.tuned: list[nn.Parameter] = list(self.language_model.parameters())

    def enter(self, phase: int, freeze_vision: bool) -> None:
        """In the first phase the projector trains alone; then `tuned`, of the language model, do too."""
        super().enter(phase, freeze_vision)
        self.language_model.requires_grad_(False)
        for parameter in self.tuned:
            parameter.requires_grad_(phase > 0)

    def save_pretrained(self, folder: Path) -> None:
        """The language model alone, without the projector of the image's tokens."""
        self.language_model.save_pretrained(folder)

    def memory(
        self, image_tokens_NPD: Tensor, text_states_BTD: Tensor | None, ids_BT: Tensor, mask_BT: Tensor
    ) -> Memory:
        """The question's closing token is not read: what follows the prompt is its answer."""
        image_NPD = self.projector(image_tokens_NPD)
        patches = image_NPD.shape[1]
        first_T = torch.arange(ids_BT.shape[1], device=ids_BT.device) == 0
        mask_BT = mask_BT & (first_T | (ids_BT != self.config["end"]))
        image_mask_BP = mask_BT.new_ones(()).expand(ids_BT.shape[0], patches)
        image = self._image_keys_values(image_NPD) if patches else None
        position_BT = (mask_BT.cumsum(1) - 1).clamp(min=0) + patches
        causal_1TT = causal(ids_BT.shape[1], 0, ids_BT.device)[None]
        question = Reading(self.attend, image)
        self._read(self._embed(ids_BT), position_BT, causal_1TT & mask_BT[:, None, :], question)
        layers = [
            LayerMemory(per_row, None if image is None else image[layer])
            for layer, per_row in enumerate(question.grown)
        ]
        mask_BM = torch.cat([image_mask_BP, mask_BT], 1)
        return Memory(layers, mask_BM, torch.cat([image_mask_BP, torch.zeros_like(mask_BT)], 1))

    def step(
        self,
        tokens_BT: Tensor,
        cache: KeyValue | None,
        memory: Memory,
        spin: SpinInputs | None = None,
        need_maps: bool = False,
    ) -> StepOutput:
        reading, mask_BTK, order_T = begin_step(self.attend, tokens_BT, cache, memory, spin)
        position_BT = memory.mask_BM.sum(1, keepdim=True) + order_T
        logits_BTV = self.language_model(
            inputs_embeds=self._embed(tokens_BT), attention_mask=mask_BTK[:, None], position_ids=position_BT,
            use_cache=False, reading=reading,
        ).logits  # fmt: skip
        # Some language models have embeddings to spare, which stand for no token.
        if logits_BTV.shape[-1] > self.config["vocab_size"]:
            logits_BTV = logits_BTV[..., : self.config["vocab_size"]]
        return reading.output(logits_BTV, need_maps)

    def _image_keys_values(self, image_NPD: Tensor) -> list[KeyValue]:
        """Of every layer, [N, G, P, d] each."""
        images, patches = image_NPD.shape[:2]
        position_NP = torch.arange(patches, device=image_NPD.device).expand(images, -1)
        causal_NPP = causal(patches, 0, image_NPD.device).expand(images, -1, -1)
        reading = Reading(self.attend)
        self._read(image_NPD, position_NP, causal_NPP, reading)
        return reading.grown

    def _read(self, x_BTD: Tensor, position_BT: Tensor, mask_BTT: Tensor, reading: Reading) -> None:
        self.language_model.base_model(
            inputs_embeds=x_BTD, attention_mask=mask_BTT[:, None], position_ids=position_BT, use_cache=False,
            reading=reading,
        )  # fmt: skip

    def _embed(self, ids_BT: Tensor) -> Tensor:
        return self.language_model.get_input_embeddings()(ids_BT)


def begin_step(
    attend: Attend, tokens_BT: Tensor, cache: KeyValue | None, memory: Memory, spin: SpinInputs | None
) -> tuple[Reading, Tensor, Tensor]:
    """What the next T tokens of an answer read, their mask over the keys that rows do not share, [B, T, K],
    and their places after the memory, [T]."""
    past, (rows, count) = 0 if cache is None else cache[0].shape[3], tokens_BT.shape
    shared = [layer.shared for layer in memory.layers if layer.shared is not None]
    mask_BM = memory.mask_BM[:, shared[0][0].shape[2] :] if shared else memory.mask_BM
    causal_TS = causal(count, past, tokens_BT.device)
    mask_BTK = torch.cat([mask_BM[:, None, :].expand(-1, count, -1), causal_TS[None].expand(rows, -1, -1)], 2)
    per_row = [layer.per_row for layer in memory.layers]
    reading = Reading(attend, shared or None, per_row, cache, memory.image_BM, spin)
    return reading, mask_BTK, past + torch.arange(count, device=mask_BM.device)


def causal(count: int, past: int, device: torch.device) -> Tensor:
    """[T, S + T], True: a token reads what came before it and itself."""
    new_T1 = torch.arange(count, device=device)[:, None] + past
    return torch.arange(past + count, device=device)[None, :] <= new_T1


def followed(first: KeyValue, then: KeyValue) -> KeyValue:
    """Keys and values of some tokens and those of the ones after them."""
    return torch.cat([first[0], then[0]], 2), torch.cat([first[1], then[1]], 2)


def build(config: dict[str, Any]) -> CausalVLM:
    """The model of a config, with random weights."""
    return CausalVLM(config)


def from_clip(
    clip: DualEncoder,
    language_model: nn.Module,
    finetune: dict[str, Any],
    vocab_size: int,
    end: int,
    *,
    blind: bool = False,
) -> CausalVLM:
    """A model of the image tower of a dual encoder and a pretrained language model (`load`). finetune: that
    section of params.yaml; vocab_size, end: of its tokenizer the size, and the token that ends a text.

    Raises ValueError for a language model that is too short for image, question and answer, that has fewer
    embeddings than the tokenizer has tokens, or whose attention cannot be routed.
    """
    architecture: Any = language_model.config
    heads, width = architecture.num_attention_heads, architecture.hidden_size
    groups = getattr(architecture, "num_key_value_heads", None) or heads
    longest = math.prod(clip.vision.grid) + finetune["max_question"] + finetune["max_answer"] + 1
    limits = [getattr(architecture, name, None) for name in ("max_position_embeddings", "sliding_window")]
    limit = min((limit for limit in limits if limit), default=longest)
    if limit < longest:
        raise ValueError(
            f"decoder: the language model reads {limit} tokens at once, but image, question and answer take "
            f"up to {longest}: lower vision.image_size, finetune.max_question or finetune.max_answer"
        )
    embedding_VD: Tensor = language_model.get_input_embeddings().weight  # type: ignore[operator]
    if vocab_size > len(embedding_VD):
        raise ValueError(
            f"decoder: the tokenizer has {vocab_size} tokens, the language model {len(embedding_VD)} "
            "embeddings: take the tokenizer that was saved with it"
        )
    model = CausalVLM(
        {
            "decoder": "hf",
            "architecture": architecture.to_diff_dict(),
            "end": end,
            "vision": clip.vision.config,
            "vision_width": clip.vision.width,
            "grid": list(clip.vision.grid),
            "vocab_size": vocab_size,
            "width": width,
            "layers": architecture.num_hidden_layers,
            "decoder_heads": heads,
            "key_value_heads": groups,
            "head_width": getattr(architecture, "head_dim", None) or width // heads,
            "max_answer": finetune["max_answer"],
            "max_question": finetune["max_question"],
            "blind": blind,
        },
        language_model,
    )
    # The image's content enters with the size of a word embedding.
    size = float(embedding_VD.detach().float().square().mean().sqrt())
    nn.init.constant_(model.projector[3].get_parameter("weight"), size)
    if not blind:
        model.vision.load_state_dict(clip.vision.state_dict())
    _require_routed(model)
    return model


@torch.no_grad()
def _require_routed(model: CausalVLM) -> None:
    """Raise ValueError unless every layer attends through the interface."""
    ids_12 = torch.zeros(1, 2, dtype=torch.long)
    kind = type(model.language_model).__name__
    try:
        cache = model.step(
            ids_12,
            None,
            model.memory(torch.zeros(1, 1, model.config["vision_width"]), None, ids_12, ids_12 > -1),
        ).cache[0]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"decoder: {kind} does not run on attention of ours ({error}); choose a model like GPT-2, Llama "
            "(SmolLM2) or Qwen"
        ) from error
    expected = (model.config["layers"], 1, model.config["key_value_heads"], 2, model.config["head_width"])
    if tuple(cache.shape) != expected:
        raise ValueError(
            f"decoder: {kind} keeps keys of shape {tuple(cache.shape)}, expected {expected}: choose a model "
            "like GPT-2, Llama (SmolLM2) or Qwen"
        )


def files(source: str, revision: str) -> Path:
    """The folder of a language model with its tokenizer: `source` itself, or what the hub has under this
    name at a commit. Raises ValueError when a file is missing or the hub cannot be reached."""
    folder, needed = Path(source), ("config.json", "tokenizer.json")
    if not folder.is_dir():
        more = (*hub_files.WEIGHTS, *hub_files.TOKENIZER_FILES)
        return hub_files.fetch("decoder", source, revision, needed, more)
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"decoder.checkpoint: {source} has no {' and no '.join(missing)}; save model and tokenizer there "
            "with transformers' save_pretrained, the tokenizer in the fast format"
        )
    return folder


def load(folder: Path) -> nn.Module:
    """The language model in a folder, in float32. Raises ValueError when it is none or not in safetensors."""
    try:
        with quiet_loading():
            return AutoModelForCausalLM.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, trust_remote_code=False,
                dtype=torch.float32, attn_implementation=ATTENTION,
            )  # fmt: skip
    except (OSError, ValueError) as error:
        raise ValueError(
            f"decoder.checkpoint: cannot load {folder} ({error}); it must hold config.json and "
            "model.safetensors of a causal language model"
        ) from error
