"""A VLM and a dual encoder behind the numpy face of inference.engine.Engine: evaluation mode, no gradients,
no state.

Shapes as there: L layers, B rows, H heads, T tokens, P patches, M memory tokens, D width, E embedding, V
vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.inference.engine import ArrayCache, Memory, Step
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import VLM
from sightline.models.vlm import Memory as TensorMemory
from sightline.spin import gate as spin_gate


class TorchEngine:
    """Puts the models into evaluation mode. Raises ValueError when the model that a call needs was not given.

    spin_score is the head score of every step, spin_rule its gate, and amplify PAI's strength; K per layer
    and alpha come with each call.
    """

    def __init__(
        self,
        vlm: VLM | None,
        clip: DualEncoder | None,
        spin_score: str = "mass",
        spin_rule: spin_gate.GateRule = spin_gate.published,
        amplify: float = 0.0,
    ):
        self._vlm = vlm.eval() if vlm is not None else None
        self._clip = clip.eval() if clip is not None else None
        self._score, self._rule, self._amplify = spin_score, spin_rule, amplify
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

    def memory(self, image_tokens_BPD: np.ndarray, ids_BT: np.ndarray, mask_BT: np.ndarray) -> Memory:
        vlm = self._need_vlm()
        with torch.inference_mode():
            ids, mask = self._tensor(ids_BT), self._tensor(mask_BT)
            memory = vlm.memory(self._tensor(image_tokens_BPD), vlm.text_states(ids, mask), ids, mask)
            return Memory(*map(_array, (*memory.joined(), memory.mask_BM, memory.image_BM)))

    def memory_without_image(self, ids_BT: np.ndarray, mask_BT: np.ndarray) -> Memory:
        """What the decoder reads of a question alone. Shaped like `memory`: the image's places are there,
        masked."""
        patches, width = math.prod(self.config["grid"]), self.config["vision_width"]
        alone = self.memory(np.zeros((len(ids_BT), 0, width), np.float32), ids_BT, mask_BT)
        front = [(0, 0)] * 3 + [(patches, 0), (0, 0)]
        cross = (np.pad(part, front) for part in (alone.cross_k, alone.cross_v))
        masks = (np.pad(part, [(0, 0), (patches, 0)]) for part in (alone.mask_BM, alone.image_BM))
        return Memory(*cross, *masks)

    def step(
        self,
        tokens_BT: np.ndarray,
        cache: ArrayCache | None,
        memory: Memory,
        k_L: np.ndarray,
        alpha: float,
        need_maps: bool,
    ) -> Step:
        vlm = self._need_vlm()
        alpha_tensor = torch.tensor(alpha, device=self._device)
        spin = spin_gate.SpinInputs(self._tensor(k_L), alpha_tensor, self._score, self._rule, self._amplify)
        fields = (memory.cross_k, memory.cross_v, memory.mask_BM, memory.image_BM)
        with torch.inference_mode():
            out = vlm.step(
                self._tensor(tokens_BT),
                None if cache is None else (self._tensor(cache[0]), self._tensor(cache[1])),
                TensorMemory.of(*map(self._tensor, fields)),
                spin,
                need_maps,
            )
            return Step(
                _array(vlm.over_all_tokens(out.logits)),
                ArrayCache(_array(out.cache[0]), _array(out.cache[1])),
                None if out.maps is None else _array(out.maps),
                _array(out.gates) if need_maps and out.gates is not None else None,
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
