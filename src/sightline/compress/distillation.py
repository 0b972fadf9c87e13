"""A short recovery after the cut: the smaller model learns from the answers and the whole model's
predictions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from sightline.models.vlm import VLM
from sightline.train.tasks.vqa import IGNORED, VqaTask


class DistillationTask(VqaTask):
    """The VQA task with a teacher (Hinton et al. 2015, arXiv 1503.02531, at temperature 1): `weight` of every
    token's loss is the divergence of the model's words from the teacher's, the rest cross entropy with the
    answer. The teacher reads the tokens of the model's image tower, which therefore must be frozen."""

    def __init__(self, *arguments: Any, teacher: VLM, weight: float):
        super().__init__(*arguments)
        self._teacher = [teacher.eval()]  # in a list: no part of what is trained, saved or set to training
        self._weight = weight

    def summed_loss(self, logits_BTV: Tensor, group: dict, tokens_NPD: Tensor) -> Tensor:
        plain = super().summed_loss(logits_BTV, group, tokens_NPD)
        if not self.training or not self._weight:
            return plain
        with torch.no_grad():
            taught_BTV = self.decode(tokens_NPD, group, model=self._teacher[0])[1].logits
        real_BT = group["targets"] != IGNORED
        predicted, taught = (logits[real_BT].float().log_softmax(-1) for logits in (logits_BTV, taught_BTV))
        divergence = kl_div(predicted, taught, reduction="sum", log_target=True)
        return (1 - self._weight) * plain + self._weight * divergence
