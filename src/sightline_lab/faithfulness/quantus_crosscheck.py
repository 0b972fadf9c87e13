"""Our figures against Quantus's (Hedström et al. 2023, arXiv 2202.06861) on the same maps of answers.

Quantus is optional and only looked at here. Pixel flipping is its form of deletion: it takes away steps of
pixels from the top of the map, as we do; its steps have to divide the picture evenly, so they are smaller.

Shapes: N maps, S side of the square that the model saw, Y,X sides of the picture, C channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sightline.explain import faithfulness, perturbation
from sightline.explain.faithfulness_benchmark import LocatedAnswer
from sightline.explain.heatmap import Heatmap, enlarge
from sightline.explain.target import ExplainedAnswer, ExplainedModel, log_prob

INSTALL = "pip install quantus==0.6.0"
FLIPS = 16  # steps of pixel flipping, a divisor of every picture's pixels
FIGURES = ("pointing", "mass_inside", "deletion_mean")


def quantus() -> Any:
    """The package. Raises ValueError that says how to install it."""
    try:
        import quantus as package
    except ImportError as error:
        raise ValueError(f"the cross-check needs Quantus: {INSTALL}") from error
    return package


def compare(subject: ExplainedModel, maps: Iterable[tuple[LocatedAnswer, Heatmap]]) -> dict[str, Any]:
    """How many maps, and Pearson's correlation of each figure, ours with Quantus's. Dark maps, of which
    Quantus makes nothing, and figures that do not vary are left out. Raises ValueError without Quantus."""
    package = quantus()
    pairs = [
        (ours(subject, labelled, heat), theirs(package, subject, labelled, heat))
        for labelled, heat in maps
        if heat.pixel_map.any()
    ]
    one_NF, other_NF = (np.array([pair[side] for pair in pairs], dtype=np.float64) for side in (0, 1))
    same = {
        name: round(float(np.corrcoef(one_NF[:, index], other_NF[:, index])[0, 1]), 5)
        for index, name in enumerate(FIGURES)
        if np.ptp(one_NF[:, index]) > 0 and np.ptp(other_NF[:, index]) > 0
    }
    return {"n": len(pairs), "correlation": same}


def ours(subject: ExplainedModel, labelled: LocatedAnswer, heat: Heatmap) -> tuple[float, float, float]:
    """FIGURES of one map."""
    there_NSS = faithfulness.presence(heat.scores, subject.session.image_size, first=True)
    pixels_CYX, background_CYX = _pictures(subject, labelled.answer)
    images_NCYX = perturbation.over(pixels_CYX, background_CYX, there_NSS)
    curve = _probability(subject, labelled.answer, images_NCYX)
    return (
        float(faithfulness.pointing(heat, labelled.box)),
        faithfulness.mass_inside(heat, labelled.box),
        faithfulness.area(curve),
    )


def theirs(
    package: Any, subject: ExplainedModel, labelled: LocatedAnswer, heat: Heatmap
) -> tuple[float, float, float]:
    """FIGURES of the same map by Quantus."""
    import torch

    height, width = heat.pixel_map.shape
    x0, y0, x1, y1 = labelled.box
    inside = np.zeros((1, 1, height, width), dtype=bool)
    inside[..., y0:y1, x0:x1] = True
    options = {"disable_warnings": True, "normalise": False}

    def localised(metric: Any, map_YX: np.ndarray, box: np.ndarray) -> float:
        blank = np.zeros((1, 3, *map_YX.shape), dtype=np.float32)
        score = metric(**options)(
            None, blank, np.zeros(1, dtype=int), map_YX[None, None], box, channel_first=True
        )  # fmt: skip
        return float(score[0])

    pixels_CYX, background_CYX = _pictures(subject, labelled.answer)

    class AnswerProbability(torch.nn.Module):
        """Quantus perturbs presence, an image of ones; where it is 0 the background shows."""

        def forward(self, there_N1SS: torch.Tensor) -> torch.Tensor:
            images_NCYX = perturbation.over(pixels_CYX, background_CYX, there_N1SS[:, 0].numpy())
            return torch.from_numpy(_probability(subject, labelled.answer, images_NCYX))[:, None]

    size = subject.session.image_size
    flip = package.PixelFlipping(
        features_in_step=size**2 // FLIPS, perturb_baseline=0.0, abs=False, **options
    )
    # Scores as ranks: among equal ones both then take the upper left first.
    order = np.argsort(-enlarge(heat.scores, size, size).ravel(), kind="stable")
    rank_SS = (size**2 - np.argsort(order)).reshape(size, size).astype(np.float64)
    [curve] = flip(
        AnswerProbability().eval(), np.ones((1, 1, size, size), np.float32), np.zeros(1, dtype=int),
        rank_SS[None, None], channel_first=True, softmax=False,
    )  # fmt: skip
    whole = _probability(subject, labelled.answer, pixels_CYX[None])
    square = enlarge(heat.scores, heat.seen.rows, heat.seen.columns)
    in_square = inside[..., *heat.seen.slices]
    return (
        localised(package.PointingGame, square - square.min(), in_square),
        localised(package.RelevanceMassAccuracy, heat.pixel_map, inside),
        faithfulness.area(np.array([*whole, *curve])),
    )


def _pictures(subject: ExplainedModel, case: ExplainedAnswer) -> tuple[np.ndarray, np.ndarray]:
    """The picture and its mean colour, [C, Y, X] each."""
    return subject.session.pixels([case.rgb])[0], perturbation.backgrounds(subject, case.rgb)["mean"]


def _probability(subject: ExplainedModel, case: ExplainedAnswer, pixels_NCYX: np.ndarray) -> np.ndarray:
    """Of the answer's first word, [N]."""
    _, mask_1S = subject.session.question_ids([case.question])
    mask_NS = np.repeat(mask_1S, len(pixels_NCYX), axis=0)
    return np.exp(log_prob(subject, case, case.words[0][1], pixels_NCYX, mask_NS))
