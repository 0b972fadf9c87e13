"""SPIN on a Hugging Face vision-language model (transformers 5) whose image tokens stand in its prompt.

The text decoder's attention implementation is replaced by one that calls the stock one and multiplies the
output of the heads that attend least to the image by alpha, before the output projection; a layer that keeps
all heads runs the stock code alone. Which keys are image tokens is read from `input_ids` when the model is
called and remembered with the cache, so `generate` works as it is: sampling, beams, left-padded batches,
several images. Published code: YUECHE77/SPIN, whose rule is `score="logit_sum", queries="last"`.

Shapes: B rows, H query heads, G key heads, S new tokens, Q gated queries, K keys, D head width, L layers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sightline.spin import gate

QUERIES = ("last", "all")
STOCK = ("sdpa", "eager")  # attention implementations that SPIN can wrap
HANDLE = "sightline_spin"  # attribute of an attached model and of its attention modules
IMAGE_KEYS = "sightline_image_BK"  # attribute of a cache: which of its keys are image tokens
UNSCORED = ("softcap", "s_aux", "position_bias")  # attention arguments that change logits in ways not scored


class Suppression:
    """SPIN attached to one model, made by `attach`. `silenced()` returns how often each head was silenced.

    k_L: heads kept per layer; alpha: factor of the others; score: `mass` or `logit_sum`; queries: `last` or
    `all`.
    """

    def __init__(
        self, k_L: list[int], alpha: float, score: str, queries: str, text: Any, tokens: list[int]
    ) -> None:
        self.k_L, self.num_heads, self.alpha = k_L, text.num_attention_heads, alpha
        self.score, self.queries = score, queries
        self._text, self._tokens = text, tokens
        self._image_BK: Tensor | None = None  # of the call in progress
        self._undo: list[Any] = []
        self.reset()

    def reset(self) -> None:
        """Forget the counts of `silenced`."""
        self._silenced_LH: list[Any] = [0] * len(self.k_L)
        self._gated_L: list[Any] = [0] * len(self.k_L)

    def silenced(self) -> np.ndarray:
        """[L, H] share of the gated queries in which a head was silenced; 0 in layers left alone.

        In a batch, rows that have ended before the others count until the last one ends.
        """
        share_LH = np.zeros((len(self.k_L), self.num_heads))
        for layer, (silenced_H, queries) in enumerate(zip(self._silenced_LH, self._gated_L, strict=True)):
            if torch.is_tensor(silenced_H):
                share_LH[layer] = silenced_H.cpu().numpy() / max(1, int(queries))
        return share_LH

    def before_call(self, model: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """Forward pre-hook: find the image tokens among all keys of this call."""
        input_ids_BS = kwargs.get("input_ids", args[0] if args else None)
        if input_ids_BS is None:
            raise ValueError("spin: the model was called without input_ids, which mark the image's tokens")
        if not self._text._attn_implementation.startswith("spin_"):
            raise ValueError("spin: set_attn_implementation was called while SPIN is attached; detach first")
        image_BK = image_positions(input_ids_BS, kwargs.get("attention_mask"), self._tokens)
        cache = kwargs.get("past_key_values")
        past = int(cache.get_seq_length()) if cache is not None else 0
        if past:
            past_image_BK = getattr(cache, IMAGE_KEYS, None)
            if past_image_BK is None or past_image_BK.shape[1] < past or len(past_image_BK) != len(image_BK):
                raise ValueError(
                    f"spin: the cache holds {past} tokens that were not written by {len(image_BK)} rows of "
                    "this model with SPIN attached; start again from the prompt"
                )
            if image_BK.shape[1] == 1:  # a generated token is no image, whatever its number
                image_BK = torch.zeros_like(image_BK)
            image_BK = torch.cat([past_image_BK[:, :past], image_BK], 1)
        self._image_BK = image_BK

    def after_call(self, model: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        """Forward hook, also after an exception: leave the image positions with the cache."""
        image_BK, self._image_BK = self._image_BK, None
        cache = getattr(output, "past_key_values", None)
        if cache is not None and image_BK is not None:
            setattr(cache, IMAGE_KEYS, image_BK)

    def gated(
        self,
        layer: int,
        query_BHSD: Tensor,
        key_BGKD: Tensor,
        mask: Tensor | None,
        scaling: float,
        output_BSHD: Tensor,
    ) -> Tensor:
        """Output of a layer's heads, [B, S, H, D], those that attend least to the image multiplied by alpha.

        A query that sees no image token (a prompt without image, text before the image) is left alone.
        """
        if self._image_BK is None:
            raise RuntimeError("spin: call the model that was given to attach, not a part of it")
        image_BK = fitted(self._image_BK.to(key_BGKD.device), key_BGKD.shape[2])
        first = 0 if self.queries == "all" else query_BHSD.shape[2] - 1
        logits_BHQK, allowed_B1QK = masked_logits(query_BHSD, key_BGKD, mask, scaling, first)
        scores_BHQ = gate.scores(
            logits_BHQK.softmax(-1), logits_BHQK.where(allowed_B1QK, 0.0), image_BK, self.score
        )
        kept_BHQ = gate.gate(scores_BHQ, torch.tensor(self.k_L[layer]), scores_BHQ.new_zeros(())) > 0
        visible_B1Q = (allowed_B1QK & image_BK[:, None, None, :]).any(-1).any(1, keepdim=True)
        silenced_BHQ = ~kept_BHQ & visible_B1Q
        self._silenced_LH[layer] = self._silenced_LH[layer] + silenced_BHQ.sum((0, 2))
        self._gated_L[layer] = self._gated_L[layer] + visible_B1Q.expand(len(silenced_BHQ), -1, -1).sum()
        factor_BSH = output_BSHD.new_ones(output_BSHD.shape[:3])
        factor_BSH[:, first:] = (
            torch.where(silenced_BHQ, self.alpha, 1.0).transpose(1, 2).to(factor_BSH.dtype)
        )
        return output_BSHD * factor_BSH[..., None]


def image_positions(input_ids_BS: Tensor, attention_mask: Tensor | None, tokens: list[int]) -> Tensor:
    """[B, S] bool: True at image (and video) tokens, never at padding.

    attention_mask: [B, past + S], 0 at padding; any other form is ignored.
    """
    image_BS = torch.isin(input_ids_BS, torch.tensor(tokens, device=input_ids_BS.device))
    if torch.is_tensor(attention_mask) and attention_mask.ndim == 2:
        image_BS = image_BS & attention_mask[:, -input_ids_BS.shape[1] :].to(image_BS.device).bool()
    return image_BS


def fitted(image_BK: Tensor, num_keys: int) -> Tensor:
    """image_BK for a layer of num_keys keys: a sliding cache holds the last ones, a static one has room."""
    missing = num_keys - image_BK.shape[1]
    return nn.functional.pad(image_BK, (0, missing)) if missing > 0 else image_BK[:, -num_keys:]


def masked_logits(
    query_BHSD: Tensor, key_BGKD: Tensor, mask: Tensor | None, scaling: float, first: int
) -> tuple[Tensor, Tensor]:
    """(attention logits [B, H, Q, K] float32 of the queries from `first` on, which keys each may see
    [B or 1, 1 or H, Q, K]).

    mask: as the stock implementation takes it, bool (True: visible) or additive; None: causal, and for one
    query all keys. Logits of hidden keys are the least float32.
    """
    rows, heads, num_queries, width = query_BHSD[:, :, first:].shape
    groups, num_keys = key_BGKD.shape[1:3]
    grouped = (query_BHSD[:, :, first:] * scaling).reshape(rows, groups, -1, width)
    logits_BHQK = (grouped @ key_BGKD.transpose(2, 3)).reshape(rows, heads, num_queries, num_keys).float()
    if mask is None:
        order_K = torch.arange(num_keys, device=key_BGKD.device)
        last = order_K[first : first + num_queries] if query_BHSD.shape[2] > 1 else order_K[-1:]
        allowed = (order_K[None, :] <= last[:, None])[None, None]
    else:
        mask = mask[:, :, first:, :num_keys]
        allowed = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        if mask.dtype != torch.bool:
            logits_BHQK = logits_BHQK + mask
    return logits_BHQK.masked_fill(~allowed, torch.finfo(torch.float32).min), allowed


def _stock(name: str, module: nn.Module) -> Any:
    """The attention function that the model would call without SPIN; every model file has its own `eager`."""
    if name == "eager":
        return sys.modules[type(module).__module__].eager_attention_forward
    return ALL_ATTENTION_FUNCTIONS[name]


def _attention(
    name: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention implementation `spin_<name>`: the stock one, then the gate."""
    output_BSHD, weights = _stock(name, module)(module, query, key, value, mask, **kwargs)
    spin: Suppression | None = getattr(module, HANDLE, None)
    if spin is None:
        return output_BSHD, weights
    layer = cast(int, module.layer_idx)  # attach chose modules that have one
    if spin.k_L[layer] == spin.num_heads:
        return output_BSHD, weights
    unscored = [argument for argument in UNSCORED if kwargs.get(argument) is not None]
    if unscored:
        raise ValueError(f"spin: {type(module).__name__} attends with {unscored}, which SPIN does not score")
    scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
    return spin.gated(layer, query, key, mask, scaling, output_BSHD), weights


for _name in STOCK:
    AttentionInterface.register(f"spin_{_name}", partial(_attention, _name))
    # Without a mask function of the same name transformers would pass no mask at all.
    AttentionMaskInterface.register(f"spin_{_name}", ALL_MASK_ATTENTION_FUNCTIONS[_name])


def _parts(model: PreTrainedModel) -> tuple[str, Any, list[int], list[nn.Module]]:
    """(name of the text decoder's config, that config, image token numbers, its attention modules).

    Raises ValueError for a model that SPIN does not support.
    """
    what = type(model).__name__
    config: Any = getattr(model, "config", None)
    tokens = [getattr(config, f"{kind}_token_id", None) for kind in ("image", "video")]
    if tokens[0] is None:
        raise ValueError(f"spin: {what} has no config.image_token_id, so its prompt holds no image tokens")
    text = config.get_text_config()
    names = [name for name in config.sub_configs if getattr(config, name) is text]
    if not names or getattr(text, "cross_attention_layers", None):
        raise ValueError(
            f"spin: {what} does not read its image as tokens of a text decoder's self-attention; "
            "SPIN needs a model like LLaVA, SmolVLM or Qwen2-VL"
        )
    if text._attn_implementation not in STOCK:
        raise ValueError(
            f"spin: the text decoder of {what} runs with {text._attn_implementation!r} attention; "
            f"call model.set_attn_implementation with one of {', '.join(STOCK)} first"
        )
    attentions = [
        module
        for module in model.modules()
        if getattr(module, "config", None) is text and isinstance(getattr(module, "layer_idx", None), int)
    ]
    if {module.layer_idx for module in attentions} != set(range(text.num_hidden_layers)):
        raise ValueError(f"spin: found no attention of transformers 5 in each layer of {what}")
    return names[0], text, [token for token in tokens if token is not None], attentions


def attach(
    model: PreTrainedModel,
    *,
    alpha: float,
    keep: float | None = None,
    top_k: int | None = None,
    layers: Iterable[int] | None = None,
    score: str = "mass",
    queries: str = "last",
) -> Suppression:
    """Put SPIN on `model` until `detach(model)`; returns the object that counts silenced heads.

    keep: share of the heads that keep their output in each layer, in (0, 1] (1 changes no bit), or top_k,
    their number; the others are multiplied by alpha, in [0, 1]. layers: their numbers, all by default.
    score: `mass`, attention on the image after softmax, or `logit_sum`, the published one. queries: `last`
    gates the query that writes a token (the last of a prompt, each one after it), as published, and costs one
    row of scores; `all` gates every query that sees an image, so that a forward pass without cache equals
    cached generation.

    Raises ValueError for a wrong setting, a model without image tokens or one with SPIN already attached; the
    model is then as it was.
    """
    if hasattr(model, HANDLE):
        raise ValueError(f"spin: {type(model).__name__} has SPIN attached already; call detach(model) first")
    name, text, tokens, attentions = _parts(model)
    chosen = list(range(text.num_hidden_layers)) if layers is None else list(layers)
    k_L = gate.heads_kept(keep, top_k, chosen, text.num_hidden_layers, text.num_attention_heads)
    for key, value, choices in (("score", score, gate.SCORES), ("queries", queries, QUERIES)):
        if value not in choices:
            raise ValueError(f"spin.{key} is {value!r}: choose one of {', '.join(choices)}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"spin.alpha is {alpha}: it multiplies the silenced heads, in [0, 1]; 0 zeroes them")
    spin = Suppression(k_L, alpha, score, queries, text, tokens)
    before = text._attn_implementation
    model.set_attn_implementation({name: f"spin_{before}"})
    hooks = [
        model.register_forward_pre_hook(spin.before_call, with_kwargs=True),
        model.register_forward_hook(spin.after_call, with_kwargs=True, always_call=True),
    ]
    for module in (model, *attentions):
        setattr(module, HANDLE, spin)
    spin._undo = [*(hook.remove for hook in hooks), partial(model.set_attn_implementation, {name: before})]
    return spin


def detach(model: PreTrainedModel) -> None:
    """Take SPIN off `model`, which is then the stock model. Raises ValueError when none is attached."""
    if not hasattr(model, HANDLE):
        raise ValueError(f"spin: {type(model).__name__} has no SPIN attached; call attach(model, ...) first")
    for undo in getattr(model, HANDLE)._undo:
        undo()
    for module in model.modules():
        module.__dict__.pop(HANDLE, None)


@contextmanager
def suppressed(model: PreTrainedModel, **settings: Any) -> Iterator[Suppression]:
    """`with suppressed(model, keep=0.8, alpha=0.1) as spin:` attach for a block, also when it raises."""
    spin = attach(model, **settings)
    try:
        yield spin
    finally:
        detach(model)
