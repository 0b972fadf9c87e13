"""Several candidates of a description, written together: CLIP-guided decoding (Deng et al. 2024, arXiv
2402.15300) of whole descriptions, over visual contrastive decoding where it is wanted. Whoever knows the
picture and the texts (inference.describe) says which candidate is most like the picture.

Shapes as in protocol.py, C candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.inference.decoding import contrastive
from sightline.inference.decoding.sampling import picking
from sightline.inference.decoding.token_loop import collect, steps
from sightline.inference.engine import Engine, Generation, Memory, take_memory


@dataclass(frozen=True)
class Guide:
    """How candidates come about: `candidates` of them, one the likeliest and the others drawn from the
    `nucleus` (top p) at `temperature`, all held against the picture after `noise` diffusion steps with
    `strength` (0: against nothing) and `plausible` as in contrast.py; `seed` of draws and noise.

    Raises ValueError for a count, strength or noise out of range.
    """

    candidates: int = 8
    strength: float = 1.0
    noise: int = 900
    temperature: float = 0.8
    nucleus: float = 0.9
    plausible: float = 0.1
    seed: int = 0

    @property
    def plain(self) -> bool:
        """Nothing to choose and nothing held against: the likeliest description."""
        return self.candidates == 1 and self.strength == 0

    def __post_init__(self):
        for name, right, expected in (
            ("candidates", self.candidates >= 1, "at least 1"),
            ("strength", self.strength >= 0, "at least 0"),
            ("noise", 0 <= self.noise <= contrastive.NOISE_STEPS, f"in 0..{contrastive.NOISE_STEPS}"),
        ):
            if not right:
                raise ValueError(f"guide: {name} is {getattr(self, name)}, expected {expected}")


def generate(
    engine: Engine, memory: Memory, other: Memory | None, guide: Guide,
    generators: Sequence[np.random.Generator], *, bos: int, eos: int, max_new: int, k_L: np.ndarray,
    alpha: float,
) -> list[Generation]:  # fmt: skip
    """The candidates of the one row of `memory`, held against the one of `other`: those that the C - 1
    `generators` draw, then the likeliest."""
    copies_C = np.zeros(guide.candidates, dtype=np.int64)
    pick = picking(generators, guide.temperature, guide.nucleus)
    rows = take_memory(memory, copies_C)
    knobs = {"bos": bos, "eos": eos, "max_new": max_new, "k_L": k_L, "alpha": alpha}
    if other is None:
        return collect(steps(engine, rows, pick, need_maps=False, **knobs), eos, guide.candidates)
    return contrastive.generate(
        engine, rows, take_memory(other, copies_C), strength=guide.strength, plausible=guide.plausible,
        pick=pick, **knobs,
    )  # fmt: skip
