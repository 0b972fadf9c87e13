"""Does the exported model compute what the trained one computes? PyTorch against ONNX Runtime on the same
questions.

Two things may differ without a fault: two words whose scores are closer than `TOLERANCE`, and two heads whose
image masses are closer than the rounding step of the SPIN gate (spin/gate.py). Both are counted; everything
else is an error. B batch, L layers, H heads, T tokens, M memory tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline.data.questions.prompt_template import prompt
from sightline.inference.decoding import greedy
from sightline.inference.engine import DecodingInputs, Engine, GeneratedTokens, Memory, Step
from sightline.inference.session import Session
from sightline.spin.gate import near_ties

TOLERANCE = 1e-4  # on logits of order 10; float32 kernels that add in another order stay below 1e-5
MATCH_TOLERANCE = 1e-3  # matching adds a cosine, good to 1e-6, times up to 100
BATCH = 32


class ParityError(ValueError):
    """The exported model differs from the trained one."""


def compare(
    trained: Session, exported: Session, images: Sequence[np.ndarray], questions: Sequence[str],
    batch: int = BATCH,
) -> dict:  # fmt: skip
    """Greedy answers without SPIN, logits along them with and without (half of the heads, alpha 0.5),
    embeddings. Of models that only search the logits' differences are None, of those that only answer the
    embeddings'. batch: rows of a call.

    Both sessions must use the same tokenizer and settings. Returns counts and largest differences.
    """
    figures: dict[str, Any] = {
        "items": len(questions), "tokens": 0, "tolerance": TOLERANCE, "max_logit_difference": 0.0,
        "max_logit_difference_spin": 0.0, "max_embedding_difference": 0.0, "max_match_difference": 0.0,
        "answers_different": 0, "answers_near_tie": 0, "gates_different": 0, "gates_near_tie": 0,
    }  # fmt: skip
    order = sorted(range(len(questions)), key=lambda row: (questions[row], row))
    for start in range(0, len(order), batch):
        chunk = order[start : start + batch]
        rows = chunk + [chunk[0]] * (batch - len(chunk))
        _compare_batch(
            trained, exported, [images[i] for i in rows], [questions[i] for i in rows], len(chunk), figures
        )
    if not trained.answers:
        figures |= {"max_logit_difference": None, "max_logit_difference_spin": None}
    if not trained.searches:
        figures |= {"max_embedding_difference": None, "max_match_difference": None}
    return figures


def check(figures: dict, what: str, tolerance: float = TOLERANCE) -> None:
    """Raise ParityError naming the first figure that is out of bounds. tolerance: of logits."""
    for key, limit in (
        ("max_logit_difference", tolerance),
        ("max_logit_difference_spin", tolerance),
        ("max_embedding_difference", TOLERANCE),
        ("max_match_difference", MATCH_TOLERANCE),
        ("answers_different", 0),
        ("gates_different", 0),
    ):
        if figures[key] is not None and not figures[key] <= limit:
            raise ParityError(
                f"{what}: {key} is {figures[key]:.3g} over {figures['items']} items, allowed {limit:.3g}; "
                "the ONNX graphs do not compute what the PyTorch model computes: report the versions of "
                "torch and onnxruntime"
            )


def _compare_batch(
    trained: Session,
    exported: Session,
    images: list[np.ndarray],
    questions: list[str],
    rows: int,
    figures: dict,
) -> None:
    pixels, (ids, mask) = trained.pixels(images), trained.question_ids(questions)
    if trained.searches:
        texts = trained.text_tokenizer.batch(
            [prompt(question) for question in questions], ids.shape[1], ids.shape[1]
        )
        outputs = [_search_side(session.engine, pixels, *texts) for session in (trained, exported)]
        for number, key in enumerate(
            ("max_embedding_difference", "max_embedding_difference", "max_match_difference")
        ):
            _raise_to(figures, key, _gap(outputs[0][number], outputs[1][number]))
    if not trained.answers:
        return
    memories = [_memory(session.engine, pixels, ids, mask) for session in (trained, exported)]
    config = trained.engine.config
    all_heads = np.full(config["layers"], config["heads"], dtype=np.int64)
    longest = min(config["max_answer"], exported.settings.generation.max_tokens)
    inputs = DecodingInputs(trained.start, trained.end, longest, all_heads, 1.0)
    written = [
        greedy.generate(session.engine, memory, inputs, rows=rows)
        for session, memory in zip((trained, exported), memories, strict=True)
    ]
    tokens, real = _forced(written[0], len(images), trained.start, trained.end)
    half = np.maximum(all_heads // 2, 1)
    for key, k_L, alpha in (
        ("max_logit_difference", all_heads, 1.0),
        ("max_logit_difference_spin", half, 0.5),
    ):
        ours, theirs = (
            session.engine.step(tokens, None, memory, k_L, alpha, True)
            for session, memory in zip((trained, exported), memories, strict=True)
        )
        same = real & _agreeing_rows(ours, theirs, memories[0], k_L, real, figures)[:, None]
        if same.any():
            _raise_to(figures, key, _gap(ours.logits_BTV[same], theirs.logits_BTV[same]))
        if alpha == 1.0:
            _count_answers(written, ours, figures)
    figures["tokens"] += int(real.sum())


def _memory(engine: Engine, pixels: np.ndarray, ids: np.ndarray, mask: np.ndarray) -> Memory:
    return engine.memory(engine.image_tokens(pixels), ids, mask)


def _search_side(
    engine: Engine, pixels: np.ndarray, ids: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of pictures and texts, and how well each pair matches."""
    tokens_BPD, image_BE = engine.embed_images(pixels)
    states_BTD, text_BE = engine.embed_texts(ids, mask)
    return image_BE, text_BE, engine.match(tokens_BPD, states_BTD, mask)


def _forced(written: list[GeneratedTokens], batch: int, bos: int, eos: int) -> tuple[np.ndarray, np.ndarray]:
    """Decoder inputs [B, T] that repeat the answers, and where they are real (padding rows are not)."""
    length = max(len(answer.logprobs) for answer in written)
    tokens, real = np.full((batch, length), eos, dtype=np.int64), np.zeros((batch, length), dtype=bool)
    tokens[:, 0] = bos
    for row, answer in enumerate(written):
        inputs = [bos, *answer.ids][: len(answer.logprobs)]
        tokens[row, : len(inputs)] = inputs
        real[row, : len(inputs)] = True
    return tokens, real


def _agreeing_rows(
    ours: Step, theirs: Step, memory: Memory, k_L: np.ndarray, real: np.ndarray, figures: dict
) -> np.ndarray:
    """Rows whose gates are equal at all real tokens; the others are counted as near ties or as faults."""
    assert ours.gates_LBHT is not None and ours.maps_LBHTM is not None  # steps with maps
    unequal_BT = np.any(ours.gates_LBHT != theirs.gates_LBHT, axis=(0, 2))
    differs = (unequal_BT & real).any(axis=1)
    for row in np.flatnonzero(differs):
        one = slice(row, row + 1)
        maps = ours.maps_LBHTM[:, one][:, :, :, real[row]]
        key = "gates_near_tie" if near_ties(maps, memory.image_BM[one], k_L) else "gates_different"
        figures[key] += 1
    return ~differs


def _count_answers(written: list[list[GeneratedTokens]], forced: Step, figures: dict) -> None:
    for row, (mine, other) in enumerate(zip(*written, strict=True)):
        if mine.ids == other.ids:
            continue
        pairs = zip([*mine.ids, None], [*other.ids, None], strict=False)
        position = next(t for t, (a, b) in enumerate(pairs) if a != b)
        top = np.sort(forced.logits_BTV[row, min(position, len(mine.logprobs) - 1)])[-2:]
        figures["answers_near_tie" if top[1] - top[0] < TOLERANCE else "answers_different"] += 1


def _gap(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left - right).max())


def _raise_to(figures: dict, key: str, value: float) -> None:
    figures[key] = max(figures[key], value)
