"""A short recovery after the cut: the smaller model learns from the answers and the whole model's
predictions."""

from __future__ import annotations

from typing import Any

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

    def group_loss(self, tokens_NPD: Tensor, group: dict) -> Tensor:
        if not self.training or not self._weight:
            return super().group_loss(tokens_NPD, group)
        loss = tokens_NPD.new_zeros(())
        for part, (logits_BTK, taught_BTK) in self.predictions(
            tokens_NPD, group, [self.model, self._teacher[0]]
        ):
            real_BT = part["targets"] != IGNORED
            predicted, taught = (each[real_BT].float().log_softmax(-1) for each in (logits_BTK, taught_BTK))
            divergence = kl_div(predicted, taught, reduction="sum", log_target=True)
            plain = self.summed_loss(logits_BTK, part)
            loss = loss + (1 - self._weight) * plain + self._weight * divergence
        return loss
