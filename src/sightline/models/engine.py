"""A VLM and a dual encoder behind the numpy face of decode.protocol.Engine: evaluation mode, no gradients,
no state.

Shapes as there: L layers, B rows, H heads, T tokens, P patches, M memory tokens, D width, E embedding, V
vocabulary.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sightline.models.clip import DualEncoder
from sightline.models.vlm import VLM, Memory
from sightline.spin import gate as spin_gate


class ArrayMemory(NamedTuple):
    """cross_k, cross_v [L, B, H, M, d] float32; mask_BM and image_BM bool."""

    cross_k: np.ndarray
    cross_v: np.ndarray
    mask_BM: np.ndarray
    image_BM: np.ndarray


class ArrayCache(NamedTuple):
    """Keys and values, [L, B, H, S, d] float32 each."""

    self_k: np.ndarray
    self_v: np.ndarray

    def take(self, rows: np.ndarray) -> ArrayCache:
        return ArrayCache(self.self_k[:, rows], self.self_v[:, rows])


class ArrayStep(NamedTuple):
    """logits_BTV; the grown cache; maps and gates only where they were asked for."""

    logits_BTV: np.ndarray
    cache: ArrayCache
    maps_LBHTM: np.ndarray | None
    gates_LBHT: np.ndarray | None


class TorchEngine:
    """Puts the models into evaluation mode. Raises ValueError when the model that a call needs was not given.

    spin_score is the head score of every step, spin_variant what else its gate does, and amplify PAI's
    strength; K per layer and alpha come with each call.
    """

    def __init__(
        self,
        vlm: VLM | None,
        clip: DualEncoder | None,
        spin_score: str = "mass",
        spin_variant: spin_gate.Variant | None = None,
        amplify: float = 0.0,
    ):
        self._vlm = vlm.eval() if vlm is not None else None
        self._clip = clip.eval() if clip is not None else None
        self._score, self._variant, self._amplify = spin_score, spin_variant, amplify
        model = vlm if vlm is not None else clip
        if model is None:
            raise ValueError("TorchEngine needs a VLM, a dual encoder, or both; got neither")
        self._device = next(model.parameters()).device
        self.config: dict[str, Any] = dict(model.config)
        if vlm is not None:
            self.config["heads"] = vlm.config["decoder_heads"]

    def image_tokens(self, pixels_BCYX: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return _array(self._need_vlm().image_tokens(self._tensor(pixels_BCYX)))

    def memory(self, image_tokens_BPD: np.ndarray, ids_BT: np.ndarray, mask_BT: np.ndarray) -> ArrayMemory:
        vlm = self._need_vlm()
        with torch.inference_mode():
            ids, mask = self._tensor(ids_BT), self._tensor(mask_BT)
            memory = vlm.memory(self._tensor(image_tokens_BPD), vlm.text_states(ids, mask), ids, mask)
            return ArrayMemory(*map(_array, (*memory.joined(), memory.mask_BM, memory.image_BM)))

    def memory_without_image(self, ids_BT: np.ndarray, mask_BT: np.ndarray) -> ArrayMemory:
        """What the decoder reads of a question alone. Shaped like `memory`: the image's places are there,
        masked."""
        patches, width = math.prod(self.config["grid"]), self.config["vision_width"]
        alone = self.memory(np.zeros((len(ids_BT), 0, width), np.float32), ids_BT, mask_BT)
        key_value = (np.pad(part, [(0, 0)] * 3 + [(patches, 0), (0, 0)]) for part in alone[:2])
        return ArrayMemory(*key_value, *(np.pad(part, [(0, 0), (patches, 0)]) for part in alone[2:]))

    def step(
        self,
        tokens_BT: np.ndarray,
        cache: ArrayCache | None,
        memory: ArrayMemory,
        k_L: np.ndarray,
        alpha: float,
        need_maps: bool,
    ) -> ArrayStep:
        vlm = self._need_vlm()
        alpha_tensor = torch.tensor(alpha, device=self._device)
        spin = spin_gate.SpinInputs(
            self._tensor(k_L), alpha_tensor, self._score, self._variant, self._amplify
        )
        fields = (memory.cross_k, memory.cross_v, memory.mask_BM, memory.image_BM)
        with torch.inference_mode():
            out = vlm.step(
                self._tensor(tokens_BT),
                None if cache is None else (self._tensor(cache[0]), self._tensor(cache[1])),
                Memory.of(*map(self._tensor, fields)),
                spin,
                need_maps,
            )
            return ArrayStep(
                _array(out.logits),
                ArrayCache(_array(out.cache[0]), _array(out.cache[1])),
                _array(out.maps) if need_maps else None,
                _array(out.gates) if need_maps else None,
            )

    def embed_images(self, pixels_BCYX: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            tokens, embeds = self._need_clip().encode_image(self._tensor(pixels_BCYX))
            return _array(tokens), _array(embeds)

    def embed_texts(self, ids_BT: np.ndarray, mask_BT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            states, embeds = self._need_clip().encode_text(self._tensor(ids_BT), self._tensor(mask_BT))
            return _array(states), _array(embeds)

    def match(self, tokens_BPD: np.ndarray, states_BTD: np.ndarray, mask_BT: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            arrays = (tokens_BPD, states_BTD, mask_BT)
            return _array(self._need_clip().match(*map(self._tensor, arrays)))

    def _need_vlm(self) -> VLM:
        if self._vlm is None:
            raise ValueError("this engine holds a dual encoder only: answering needs the VLM (models/vlm)")
        return self._vlm

    def _need_clip(self) -> DualEncoder:
        if self._clip is None:
            raise ValueError("this engine holds a VLM only: retrieval needs the dual encoder (models/clip)")
        return self._clip

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy() if tensor.is_floating_point() else tensor.cpu().numpy()
