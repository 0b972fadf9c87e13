"""Gates that differ from the published rule: other rankings, protected heads, soft and rescaled factors.

The model takes them as it takes any `spin.gate.GateRule`. Shapes: B batch, H heads, T queries, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightline.spin.controls import inverse_scores, random_scores
from sightline.spin.gate import RESOLUTION, gate

if TYPE_CHECKING:
    from torch import Tensor

RANKINGS = ("own", "relative", "inverse", "random")


@dataclass(frozen=True)
class GateVariant:
    """A rule that differs from the published one.

    ranking: by the head's own score, by the score relative to what the head typically has, inverse (the
    heads that look most are suppressed) or random (seeded). protect: heads whose typical mass is below it
    read the question; they are neither ranked nor suppressed, and K counts the heads kept among the others.
    soft: a suppressed head's factor grows from alpha to 1 with its score. rescale: the factors' mean is 1.
    typical_LH: mean image mass of every head.

    Raises ValueError for another ranking.
    """

    typical_LH: Sequence[Sequence[float]]
    ranking: str = "own"
    protect: float = 0.0
    soft: bool = False
    rescale: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.ranking not in RANKINGS:
            raise ValueError(f"spin ranking is {self.ranking!r}: choose one of {', '.join(RANKINGS)}")

    def rankable(self) -> list[int]:
        """How many heads of each layer can be suppressed."""
        return [sum(mass >= self.protect for mass in typical_H) for typical_H in self.typical_LH]

    def __call__(self, scores_BHT: Tensor, k: Tensor, alpha: Tensor, layer: int) -> Tensor:
        typical_1H1 = scores_BHT.new_tensor(self.typical_LH[layer])[None, :, None]
        free_1H1 = typical_1H1 >= self.protect
        ranked_BHT = self._ranked(scores_BHT, typical_1H1, layer).where(free_1H1, -math.inf)
        gate_BHT = gate(ranked_BHT, k, alpha)
        if self.soft:
            gate_BHT = softened(gate_BHT, ranked_BHT, k)
        gate_BHT = gate_BHT.where(free_1H1, 1.0)
        return rescaled(gate_BHT) if self.rescale else gate_BHT

    def _ranked(self, scores_BHT: Tensor, typical_1H1: Tensor, layer: int) -> Tensor:
        if self.ranking == "relative":
            return scores_BHT.double() / typical_1H1.clamp(min=RESOLUTION)
        if self.ranking == "inverse":
            return inverse_scores(scores_BHT)
        if self.ranking == "random":
            return random_scores(scores_BHT, self.seed, layer)
        return scores_BHT


def softened(gate_BHT: Tensor, ranked_BHT: Tensor, k: Tensor) -> Tensor:
    """Factors of suppressed heads, grown towards 1 by their score's share of the last kept head's."""
    last = (k.clamp(max=ranked_BHT.shape[1]) - 1).reshape(1)
    kth_B1T = ranked_BHT.sort(dim=1, descending=True).values.index_select(1, last)
    share_BHT = (ranked_BHT / kth_B1T.clamp(min=RESOLUTION)).clamp(0.0, 1.0)
    return gate_BHT + (1.0 - gate_BHT) * share_BHT


def rescaled(gate_BHT: Tensor) -> Tensor:
    """Factors with a mean of 1 over the heads; all 0 leave nothing to rescale."""
    return gate_BHT * (gate_BHT.shape[1] / gate_BHT.sum(1, keepdim=True).clamp(min=RESOLUTION))
