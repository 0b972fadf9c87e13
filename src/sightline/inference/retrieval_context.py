"""Retrieval augmentation (Lewis et al. 2020, arXiv 2005.11401): a question is read with captions of similar
pictures, by a model that was trained without them.

The question is read once alone and once with each caption; the decoder's memory holds the mean of the
readings. A caption so reaches the decoder through what it makes of the question's words, and the memory keeps
its shape, [image ; question]. Captions as memory tokens of their own would be read as the question: the model
then says whether it sees their words, whatever was asked.

Shapes: B rows, K captions, P patches, D width, Q tokens of a padded question, S of a padded reading.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sightline.data.questions.prompt_template import BERT_TOKENS, TEMPLATE_TOKENS
from sightline.data.tokenizer import Tokenizer
from sightline.inference.engine import Engine, Memory


def read(
    engine: Engine, tokenizer: Tokenizer, tokens_BPD: np.ndarray, ids_BQ: np.ndarray, mask_BQ: np.ndarray,
    captions_BK: Sequence[Sequence[str]], length: int,
) -> Memory:  # fmt: skip
    """The memory of questions about pictures, each read with its own captions, at most K; without any it is
    the engine's own, bit for bit, and a row never depends on how many the others have. `length`: S, at least
    Q."""
    bare = engine.memory(tokens_BPD, ids_BQ, mask_BQ)
    count_B = np.array([len(captions) for captions in captions_BK])
    if not count_B.any():
        return bare
    keys, values, end = bare.cross_k.copy(), bare.cross_v.copy(), bare.mask_BM.shape[1]
    for index in range(count_B.max()):
        captions_B = [captions[index] if index < len(captions) else "" for captions in captions_BK]
        ids_BS, mask_BS = append_captions(tokenizer, ids_BQ, mask_BQ, captions_B, length)
        memory = engine.memory(tokens_BPD, ids_BS, mask_BS)
        for total, more in ((keys, memory.cross_k), (values, memory.cross_v)):
            np.add(total, more[:, :, :, :end], out=total, where=_per_row(index < count_B))
    readings = _per_row(1 + count_B).astype(np.float32)
    return replace(bare, cross_k=keys / readings, cross_v=values / readings)


def append_captions(
    tokenizer: Tokenizer, ids_BQ: np.ndarray, mask_BQ: np.ndarray, captions_B: Sequence[str], length: int
) -> tuple[np.ndarray, np.ndarray]:
    """(ids_BS, mask_BS) of question and caption, as [CLS] question [SEP] caption [SEP], cut to `length`
    tokens: the question keeps its positions."""
    ids_BS = np.full((len(ids_BQ), length), tokenizer.pad, dtype=np.int64)
    mask_BS = np.zeros(ids_BS.shape, dtype=bool)
    for row, caption in enumerate(captions_B):
        question = ids_BQ[row, mask_BQ[row]].tolist()
        free = length - len(question)
        text = tokenizer.encode_second(_plain(caption), free) if caption and free > 1 else []
        ids_BS[row, : len(question) + len(text)] = question + text
        mask_BS[row, : len(question) + len(text)] = True
    return ids_BS, mask_BS


def _per_row(values_B: np.ndarray) -> np.ndarray:
    """Broadcast to keys or values, [L, B, H, M, d]."""
    return values_B[None, :, None, None, None]


def _plain(caption: str) -> str:
    """`caption` without control tokens: it cannot forge a turn."""
    for token in (*BERT_TOKENS, *TEMPLATE_TOKENS):
        caption = caption.replace(token, " ")
    return caption
