"""What is explained: a model, and one answer that it gave.

Every method of explain/methods has the same signature, `explain(model, answer, tokens) -> Heatmap`: `tokens`
are the positions of the explained word in the answer. Attention and black-box methods need the session alone
(ONNX Runtime, no torch). Those that need gradients load the PyTorch model.

Shapes: L layers, H heads, T answer tokens, M memory tokens (P patches, then the question's tokens), N rows,
C,Y,X channels and sides, S tokens of a padded question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sightline.core import registry
from sightline.core.params.generation import Generation, Spin
from sightline.core.params.quality_params import Segments
from sightline.core.preprocessing import Seen
from sightline.explain.heatmap import Explanation, Heatmap
from sightline.inference.answering import Answer
from sightline.inference.engine import Step, log_softmax
from sightline.inference.session import Session

if TYPE_CHECKING:
    from sightline.models.vlm import VLM

STRIPES = 64  # of a picture, at most, that show where a token looks
REACH = 0.8  # of a patch: standard deviation of what a token speaks about; best of six on val (docs/log.md)


@dataclass(frozen=True)
class ExplainedModel:
    """A model under its SPIN settings. `trained` gives the PyTorch model that it was made from (of a
    quantized one: the weights before, so methods that need gradients explain those; None: such methods cannot
    be used); `seed` is that of the methods that sample, `segments` what they take away at once."""

    session: Session
    spin: Spin
    trained: Callable[[], VLM] | None = None
    seed: int = 0
    segments: Segments = "grid"

    @property
    def grid(self) -> tuple[int, int]:
        rows, cols = self.session.engine.config["grid"]
        return rows, cols

    def spread(self, patch_scores: np.ndarray) -> np.ndarray:
        """Scores of image tokens, [rows, cols] or several [N, rows, cols], on the pixels [S, S] of the
        model's picture: what a token has above the average as a Gaussian around the place it looks at, so of
        an object that several tokens share the middle is brightest. Even scores stay even."""
        rows, cols = _reached(self.session, self.grid)
        average = patch_scores.mean(axis=(-2, -1), keepdims=True)
        over = rows @ (patch_scores - average).astype(np.float32) @ cols.T
        over += average.astype(np.float32)
        return over


@dataclass(frozen=True)
class ExplainedAnswer:
    """One answer. `seen`: the part of the picture that the model saw. `words`: each with its positions in
    `ids`; `question_words`: those of the question with their positions in `question_ids`. `maps_LHTM`,
    `gates_LHT`: cross-attention and SPIN's factor per answer token; None for an empty answer."""

    rgb: np.ndarray
    seen: Seen
    question: str
    answer: str
    confidence: float
    ids: list[int]
    words: list[tuple[str, list[int]]]
    question_ids: list[int]
    question_words: list[tuple[str, list[int]]]
    maps_LHTM: np.ndarray | None
    gates_LHT: np.ndarray | None

    def word(self, tokens: list[int]) -> str:
        """The answer's word at these positions."""
        return next(word for word, positions in self.words if positions == tokens)


def explain(
    model: ExplainedModel, method: str, rgb: np.ndarray, question: str,
    generation: Generation | None = None,
) -> Explanation:  # fmt: skip
    """Answer `question` about `rgb` [Y, X, 3] uint8 and explain every word of the answer by a method of
    explain/methods."""
    return explain_answer(model, method, ask(model, rgb, question, generation))


def explain_answer(model: ExplainedModel, method: str, answer: ExplainedAnswer) -> Explanation:
    """Every word of an answer that was given. Raises ValueError for an unknown method."""
    module = registry.load("explain/methods", method)
    positions = [tokens for _, tokens in answer.words]
    explain_words = getattr(module, "explain_words", None)  # for methods whose words cost less together
    if explain_words is not None:
        words: list[Heatmap] = explain_words(model, answer, positions)
    else:
        words = [module.explain(model, answer, tokens) for tokens in positions]
    config = model.session.engine.config
    silenced_LH = np.zeros((config["layers"], config["heads"]))
    if answer.gates_LHT is not None:
        silenced_LH = (answer.gates_LHT < 1).mean(axis=-1)
    return Explanation(answer.question, answer.answer, answer.confidence, words, silenced_LH)


def ask(
    model: ExplainedModel, rgb: np.ndarray, question: str, generation: Generation | None = None
) -> ExplainedAnswer:
    """The model's answer, a description by the settings `generation` (default: the bundle's),
    with the attention behind its words."""
    answer = model.session.answer([rgb], [question], generation, model.spin, need_maps=True)[0]
    return of_answer(model, rgb, question, answer)


def of_answer(model: ExplainedModel, rgb: np.ndarray, question: str, answer: Answer) -> ExplainedAnswer:
    """The answer that was given with its maps, as it is explained."""
    words = model.session.tokenizer.words
    return ExplainedAnswer(
        rgb, _seen(model, rgb), question, answer.text, answer.confidence, answer.ids, words(answer.ids),
        answer.question_ids, words(answer.question_ids), answer.maps_LHTM, answer.gates_LHT,
    )  # fmt: skip


def force(model: ExplainedModel, rgb: np.ndarray, question: str, ids: list[int]) -> ExplainedAnswer:
    """The answer as if the model had answered with the tokens `ids`, at least one: to compare models, or
    pictures, over one answer."""
    session = model.session
    ids_1S, mask_1S = session.question_ids([question])
    question_tokens = ids_1S[0, mask_1S[0]].tolist()
    step = decode(model, session.pixels([rgb]), ids_1S, mask_1S, ids, need_maps=True)
    assert step.maps_LBHTM is not None and step.gates_LBHT is not None  # need_maps
    patches = int(np.prod(model.grid))
    words = session.tokenizer.words
    return ExplainedAnswer(
        rgb, _seen(model, rgb), question, session.tokenizer.decode(ids),
        float(np.exp(_of_tokens(step, ids).sum())), list(ids), words(ids), question_tokens,
        words(question_tokens), step.maps_LBHTM[:, 0, ..., : patches + len(question_tokens)],
        step.gates_LBHT[:, 0],
    )  # fmt: skip


def decode(
    model: ExplainedModel, pixels_NCYX: np.ndarray, ids_NS: np.ndarray, mask_NS: np.ndarray, ids: list[int],
    need_maps: bool = False,
) -> Step:  # fmt: skip
    """One call over the whole answer `ids`: row t of the result is what the model thought before token t."""
    session = model.session
    if len(pixels_NCYX) == 1:  # one picture, many questions: its tokens are computed once
        tokens_NPD = np.repeat(session.engine.image_tokens(pixels_NCYX), len(ids_NS), axis=0)
    else:
        tokens_NPD = session.engine.image_tokens(pixels_NCYX)
    memory = session.engine.memory(tokens_NPD, ids_NS, mask_NS)
    before_NT = np.tile(np.array([[session.start, *ids[:-1]]], dtype=np.int64), (len(ids_NS), 1))
    k_L, alpha = session.heads_kept(model.spin)
    return session.engine.step(before_NT, None, memory, k_L, alpha, need_maps)


def log_prob(
    model: ExplainedModel,
    answer: ExplainedAnswer,
    tokens: list[int],
    pixels_NCYX: np.ndarray,
    mask_NS: np.ndarray,
) -> np.ndarray:
    """Log-probability of the word at `tokens` after the answer's words before it, [N]: the one figure that
    every black-box method explains. mask_NS False removes a token of the question."""
    ids_1S, _ = model.session.question_ids([answer.question])
    ids = answer.ids[: max(tokens) + 1]
    step = decode(model, pixels_NCYX, np.repeat(ids_1S, len(mask_NS), axis=0), mask_NS, ids)
    return _of_tokens(step, ids)[:, tokens].sum(axis=1)


@lru_cache(maxsize=4)
def _reached(session: Session, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """How strongly the tokens of the grid's rows reach every pixel row, [S, rows], and those of its columns
    every pixel column: Gaussians of area 1 patch."""
    pixel = (np.arange(session.image_size) + 0.5) / session.image_size
    area = REACH * np.sqrt(2 * np.pi)
    rows, cols = (
        (np.exp(-(((pixel[:, None] - centres) * len(centres) / REACH) ** 2) / 2) / area).astype(np.float32)
        for centres in looked_at(session, grid)
    )
    return rows, cols


def looked_at(session: Session, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where the image tokens of every row and every column of the grid look, as shares of the side.

    Measured, since it is not where the grid suggests: a convolution of stride 2 with padding 1 looks half a
    step up and to the left, and three of them half a patch. One stripe of noise after the other is
    brightened; a token looks at the middle of the stripes that change it at least half as much as the one
    that changes it most. Where that gives no order, the middle of the patches.
    """
    side = session.image_size
    count = min(side, STRIPES)
    stripe = np.arange(side) * count // side == np.arange(count)[:, None]
    noise_1CYX = np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32)
    still_PD = session.engine.image_tokens(noise_1CYX)[0]
    middle, centres = (np.arange(count) + 0.5) / count, []
    for axis, cells in enumerate(grid):
        bright = stripe[:, None, :, None] if axis == 0 else stripe[:, None, None, :]
        tokens_NPD = session.engine.image_tokens((noise_1CYX + bright).astype(np.float32))
        moved_NRC = ((tokens_NPD - still_PD) ** 2).sum(axis=2).reshape(count, *grid)
        moved_NK = moved_NRC.sum(axis=2 - axis)
        strong_NK = np.where(moved_NK >= moved_NK.max(axis=0) / 2, moved_NK, 0.0)
        places_K = middle @ strong_NK / np.maximum(strong_NK.sum(axis=0), np.finfo(np.float32).tiny)
        ordered = (np.diff(places_K) > 0).all()
        centres.append(places_K if ordered else (np.arange(cells) + 0.5) / cells)
    return centres[0], centres[1]


def _seen(model: ExplainedModel, rgb: np.ndarray) -> Seen:
    return model.session.preprocessing.seen(*rgb.shape[:2])


def _of_tokens(step: Step, ids: list[int]) -> np.ndarray:
    """Log-probability of every token of the answer, [N, T]."""
    return log_softmax(step.logits_BTV)[:, np.arange(len(ids)), ids]
