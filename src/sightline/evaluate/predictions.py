"""The predictions of one session on one split: answers to every question, and retrieval ranks.

Letters: I images, T texts, Q queries, K candidates, N pairs, E embedding width, P patches, S tokens of a
text, D width.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sightline.core.params.generation import SPIN_OFF, Generation, Spin
from sightline.core.params.quality_params import EvaluateParams
from sightline.evaluate.metrics import retrieval, swapped_object
from sightline.evaluate.metrics.chair import Lexicon
from sightline.evaluate.split_contents import Split
from sightline.inference.answering import Answer
from sightline.inference.session import Session

NOTHING = np.full((64, 64, 3), 128, dtype=np.uint8)
_CHUNK = 64  # pictures decoded at a time
_PAIRS = 1024  # image-text pairs gathered at a time for the fusion head


@dataclass(frozen=True)
class Answers:
    """Texts in the order of the split's triples, with the model's probability of each, its calibrated
    confidence and whether that is sure (Session.answer)."""

    texts: list[str]
    probability_N: np.ndarray
    confidence_N: np.ndarray
    sure: list[bool | None]


def answers(session: Session, split: Split, generation: Generation, spin: Spin, batch_size: int) -> Answers:
    """Every question of the split, chunk by chunk; descriptions in batches of their own."""
    answered: dict[int, Answer] = {}
    of_picture: dict[int, list[int]] = {}
    for index, picture in enumerate(split.picture_of):
        of_picture.setdefault(picture, []).append(index)
    for first, pictures in _chunks(split.rgb()):
        chunk = [
            index for picture in range(first, first + len(pictures)) for index in of_picture.get(picture, [])
        ]
        for describe in (False, True):
            group = [index for index in chunk if (split.triples[index]["type"] == "describe") == describe]
            replies = session.answer(
                [pictures[split.picture_of[index] - first] for index in group],
                [split.triples[index]["question"] for index in group],
                generation, spin, batch_size=batch_size,
            )  # fmt: skip
            answered |= dict(zip(group, replies, strict=True))
    in_order = [answered[index] for index in range(len(split.triples))]
    return Answers(
        [answer.text for answer in in_order],
        np.array([answer.probability for answer in in_order]),
        np.array([answer.confidence for answer in in_order]),
        [answer.sure for answer in in_order],
    )


def blind_answers(session: Session, split: Split, generation: Generation, batch_size: int) -> list[str]:
    """Answers of a model that does not see the picture: one per distinct question, without SPIN.

    Candidates and contrastive decoding are off, since both need the picture.
    """
    picture, generation = next(split.rgb()), generation.replaced(candidates=1, contrast=0.0)
    described = {triple["question"]: triple["type"] == "describe" for triple in split.triples}
    answered: dict[str, str] = {}
    for describe in (False, True):
        questions = sorted(question for question, kind in described.items() if kind == describe)
        replies = session.answer(
            [picture] * len(questions), questions, generation, SPIN_OFF, batch_size=batch_size
        )
        answered |= {question: answer.text for question, answer in zip(questions, replies, strict=True)}
    return [answered[triple["question"]] for triple in split.triples]


@dataclass(frozen=True)
class RetrievalRanks:
    """Ranks of the right answer per direction, the picture behind each query, and the swapped-kind pairs."""

    ranks: dict[str, np.ndarray]  # direction -> [Q]
    pictures: dict[str, np.ndarray]  # direction -> [Q]
    # swapped_kind -> picture, score of its caption, score of the changed one; and the same as `described`
    swapped_object: dict[str, list[tuple[int, float, float]]]


@dataclass(frozen=True)
class SwapInputs:
    """Inputs of the swapped-kind test: the lexicon of object words, the kinds, and a random generator."""

    lexicon: Lexicon
    kinds: list[str]
    rng: np.random.Generator


def retrieve(
    session: Session, split: Split, swaps: SwapInputs, params: EvaluateParams, train: Sequence[np.ndarray]
) -> RetrievalRanks:
    """Both directions over the gallery, the best `rerank_top` of each put in another order in two ways, and
    the swapped-kind test.

    `reranked`: by the fusion head. `described`: by the cosine and `description_weight` times the
    log-probability that the answering model describes the picture so. A text that is short or says what most
    do is likely of any picture, so `nothing_share` of its log-probability for a picture of nothing is taken
    off (alpha-debiasing of Lin et al. 2024, arXiv 2306.01879); or of its mean log-probability for the
    `prior_pictures` of `train` that are most like it. A model that does not answer has no `described`.
    """
    batch_size = params.batch_size
    texts, owner_T, size = split.gallery()
    pairs = _swapped(split, texts, size, swaps) if split.true_objects else []
    # Every distinct text is read once: equal captions get equal bits, so they tie.
    distinct = sorted({*texts, *(text for _, text in pairs)})
    text_index = {text: index for index, text in enumerate(distinct)}
    text_T, owners = np.array([text_index[text] for text in texts]), np.arange(size)
    states_NSD, mask_NS, embeds_NE = session.encode_texts(distinct, batch_size=batch_size)
    images = list(islice(split.rgb(), size))
    tokens_IPD, image_IE = session.encode_images(images, batch_size=batch_size)
    text_TE = embeds_NE[text_T]

    def fuse(image_N: np.ndarray, text_N: np.ndarray) -> np.ndarray:
        chunks = [slice(start, start + _PAIRS) for start in range(0, len(image_N), _PAIRS)]
        return np.concatenate(
            [
                session.match(
                    tokens_IPD[image_N[chunk]], states_NSD[text_N[chunk]], mask_NS[text_N[chunk]],
                    batch_size=batch_size,
                )
                for chunk in chunks
            ]
        )  # fmt: skip

    def describe(pictures: list[np.ndarray], image_N: np.ndarray, text_N: np.ndarray) -> np.ndarray:
        return session.score_captions(pictures, distinct, image_N, text_N, batch_size=batch_size)

    num, prior_N = len(distinct), np.zeros(len(distinct))
    if session.answers:
        if len(train):
            prior_N = _prior(session, train, distinct, embeds_NE, params)
        else:
            prior_N = describe([NOTHING], np.zeros(num, np.int64), np.arange(num))
        prior_N = params.nothing_share * prior_N
    fused = _PairCache(fuse, num)
    caption_scores = _PairCache(
        lambda image_N, text_N: describe(images, image_N, text_N) - prior_N[text_N], num
    )

    def described(image_N: np.ndarray, text_N: np.ndarray) -> np.ndarray:
        alike = retrieval.pair_similarity(image_IE[image_N.ravel()], embeds_NE[text_N.ravel()])
        return alike.reshape(image_N.shape) + params.description_weight * caption_scores(image_N, text_N)

    def rerank(direction: str, image_QK: np.ndarray, text_QK: np.ndarray) -> None:
        """Ranks after the candidates, as images and texts of the gallery, are put in another order."""
        right_QK, text_QK = image_QK == owner_T[text_QK], text_T[text_QK]
        ways = {"reranked": fused} | ({"described": described} if session.answers else {})
        for way, scores in ways.items():
            ranks[f"{direction}_{way}"] = retrieval.reranked_ranks(
                scores(image_QK, text_QK), right_QK, ranks[direction]
            )

    ranks_I, ranks_T = retrieval.ranks(image_IE, text_TE, owner_T)
    ranks = {"image_to_text": ranks_I, "text_to_image": ranks_T}
    text_IK = retrieval.nearest(image_IE, text_TE, params.rerank_top)
    image_TK = retrieval.nearest(text_TE, image_IE, params.rerank_top)
    rerank("image_to_text", np.broadcast_to(owners[:, None], text_IK.shape), text_IK)
    rerank("text_to_image", image_TK, np.broadcast_to(np.arange(len(text_T))[:, None], image_TK.shape))
    pictures = {kind: owner_T if kind.startswith("text") else owners for kind in ranks}
    if not pairs:
        return RetrievalRanks(ranks, pictures, {})
    picture_N, changed_N = np.array([(picture, text_index[text]) for picture, text in pairs]).T
    original_N = text_T[picture_N]
    scores = {
        "swapped_kind": (
            retrieval.pair_similarity(image_IE[picture_N], text_TE[picture_N]),
            retrieval.pair_similarity(image_IE[picture_N], embeds_NE[changed_N]),
        ),
    }
    if session.answers:
        both = described(picture_N, original_N), described(picture_N, changed_N)
        scores["swapped_kind_described"] = both
    scored = {
        kind: [(int(i), float(a), float(b)) for i, a, b in zip(picture_N, original, swapped, strict=True)]
        for kind, (original, swapped) in scores.items()
    }
    return RetrievalRanks(ranks, pictures, scored)


def _prior(
    session: Session, train: Sequence[np.ndarray], texts: list[str], embeds_NE: np.ndarray,
    params: EvaluateParams,
) -> np.ndarray:  # fmt: skip
    """Mean log-probability of every text over the `prior_pictures` of `train` most like it, [N]."""
    batch_size, width = params.batch_size, min(params.prior_pictures, len(train))
    starts = range(0, len(train), _CHUNK)
    image_ME = np.concatenate(
        [session.embed_images(train[start : start + _CHUNK], batch_size) for start in starts]
    )
    near_NK = retrieval.nearest(embeds_NE, image_ME, width)
    text_N, image_N = np.repeat(np.arange(len(texts)), width), near_NK.ravel()
    total_N = np.zeros(len(texts))
    for start in starts:
        of_chunk = np.flatnonzero((image_N >= start) & (image_N < start + _CHUNK))
        if len(of_chunk):
            pictures, rows = train[start : start + _CHUNK], image_N[of_chunk] - start
            scores = session.score_captions(pictures, texts, rows, text_N[of_chunk], batch_size)
            np.add.at(total_N, text_N[of_chunk], scores)
    return total_N / width


class _PairCache:
    """Caches `score(image_N, text_N)` per pair, since both directions of a search share many pairs.

    Takes and returns arrays of one shape; `texts` is the number of texts.
    """

    def __init__(self, score: Callable[[np.ndarray, np.ndarray], np.ndarray], texts: int) -> None:
        self._score, self._texts, self._scores = score, texts, dict[int, float]()

    def __call__(self, image: np.ndarray, text: np.ndarray) -> np.ndarray:
        keys_N = (image * self._texts + text).ravel().tolist()
        if new := sorted(set(keys_N) - self._scores.keys()):
            scores_n = self._score(*np.divmod(np.array(new), self._texts))
            self._scores.update(zip(new, scores_n.tolist(), strict=True))
        return np.array([self._scores[key] for key in keys_N]).reshape(image.shape)


def _swapped(split: Split, texts: list[str], size: int, swaps: SwapInputs) -> list[tuple[int, str]]:
    changed = [
        swapped_object.swap(texts[index], split.present[index], swaps.kinds, swaps.lexicon, swaps.rng)
        for index in range(size)
    ]
    return [(index, text) for index, text in enumerate(changed) if text is not None]


def _chunks(pictures: Iterable[np.ndarray]) -> Iterator[tuple[int, list[np.ndarray]]]:
    pictures, first = iter(pictures), 0
    while chunk := list(islice(pictures, _CHUNK)):
        yield first, chunk
        first += len(chunk)
