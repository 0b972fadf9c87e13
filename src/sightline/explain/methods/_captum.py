"""Captum's perturbation methods over the presence of parts of the picture and question words; torch here is
only what Captum computes with, the model answers through the session. The parts are patches or superpixels
(`explain.segments`); a superpixel's pixels all show its coefficient, a patch has its share of each superpixel
by area. Shapes: N samples, Y,X sides, P parts of the picture, F = P + words."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline.explain import perturbation, segments
from sightline.explain.heatmap import Heatmap, of_word
from sightline.explain.methods.integrated_gradients import in_patches
from sightline.explain.target import ExplainedAnswer, ExplainedModel

SAMPLES = 512


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int], name: str) -> Heatmap:
    """The heat map of captum.attr.<method>; deterministic, and torch's global generator is left as it was."""
    segment_YX = segments.of_picture(model, answer.rgb)
    pixels_P = np.bincount(segment_YX.ravel())
    of_part_P, of_word_W = np.split(attribute(model, answer, tokens, name, segment_YX), [len(pixels_P)])
    return of_word(
        name, answer.word(tokens), answer.seen, in_patches((of_part_P / pixels_P)[segment_YX], model.grid),
        perturbation.by_word(answer, of_word_W),
        scores=None if model.segments == "grid" else of_part_P[segment_YX],
    )  # fmt: skip


def attribute(
    model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int], name: str, segment_YX: np.ndarray
) -> np.ndarray:
    """Coefficient of every part in log-probability, [F]."""
    import torch

    attr = captum()

    def ask(present_NF: torch.Tensor) -> torch.Tensor:
        rows_NF = present_NF.double().numpy()
        return torch.from_numpy(perturbation.scores(model, answer, tokens, segment_YX, rows_NF))

    surrogate = Linear(0.0 if name == "kernel_shap" else 1e-3)
    method = attr.KernelShap(ask) if name == "kernel_shap" else attr.Lime(ask, interpretable_model=surrogate)
    method.interpretable_model = surrogate  # KernelShap brings one that needs scikit-learn
    there_1F = torch.ones(1, int(segment_YX.max()) + 1 + len(answer.question_words))
    seed = np.random.SeedSequence([model.seed, *answer.ids, *tokens]).generate_state(1)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        coefficient_1F = method.attribute(
            there_1F, baselines=0, n_samples=SAMPLES, perturbations_per_eval=perturbation.BATCH
        )
    return coefficient_1F[0].double().numpy()


def captum() -> Any:
    """captum.attr. Raises ValueError that says how to install it."""
    try:
        from captum import attr
    except ImportError as error:
        raise ValueError("kernel_shap and lime need Captum: pip install captum==0.9.0") from error
    return attr


class Linear:
    """Weighted least squares in closed form, with the interface of Captum's surrogate models: solved
    exactly, so the same samples give the same coefficients. `ridge`: penalty per unit of weight."""

    def __init__(self, ridge: float):
        self.ridge = ridge

    def fit(self, data: Any, **_: Any) -> None:
        rows = [tuple(part.double().numpy() for part in batch) for batch in data]
        x_NF, y_N, weight_N = (np.concatenate(column) for column in zip(*rows, strict=True))
        x_NF, y_N, weight_N = x_NF.reshape(len(y_N), -1), y_N.ravel(), weight_N.ravel()
        share_N = weight_N / weight_N.sum()
        centred_NF, target_N = x_NF - share_N @ x_NF, y_N - share_N @ y_N
        root_N1 = np.sqrt(share_N)[:, None]
        penalty_FF = np.sqrt(self.ridge) * np.eye(x_NF.shape[1])
        left = np.concatenate([root_N1 * centred_NF, penalty_FF])
        right = np.concatenate([root_N1[:, 0] * target_N, np.zeros(len(penalty_FF))])
        self.slope_F = np.linalg.lstsq(left, right, rcond=None)[0]

    def representation(self) -> Any:
        import torch

        return torch.from_numpy(self.slope_F)[None]
