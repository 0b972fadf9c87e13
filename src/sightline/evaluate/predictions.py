"""Asks one predictor everything about one split.

A predictor has the methods of `Predictor` below; inference.session.Session is one, around ONNX graphs or
PyTorch. SPIN settings are dicts like the `spin` section of params.yaml. Letters: I images, T texts, Q
queries, K candidates, N pairs, E embedding width, P patches, S tokens of a text, D width, L layers, H
heads.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from sightline.core.params.generation import Generation
from sightline.core.params.quality_params import EvaluateParams
from sightline.data.questions.question_types import SHORT_TOKENS
from sightline.evaluate.metrics import retrieval, swapped_object
from sightline.evaluate.metrics.chair import Lexicon
from sightline.evaluate.split_contents import Split

SPIN_OFF: dict[str, Any] = {"keep": 1.0, "top_k": None, "alpha": 1.0, "layers": [], "score": "mass"}
NOTHING = np.full((64, 64, 3), 128, dtype=np.uint8)
_CHUNK = 64  # pictures decoded and held at a time
_GATED = 256  # pictures over which silenced heads are counted
_PAIRS = 1024  # image-text pairs gathered at a time for the fusion head


class Predictor(Protocol):
    """What the evaluation needs of a model: inference.session.Session's methods of these names."""

    def answer(self, images: Sequence[np.ndarray], questions: Sequence[str], spin: dict[str, Any] | None,
               max_new: int | None, need_maps: bool, batch_size: int,
               beams: int) -> list[Any]: ...  # fmt: skip

    def encode_images(
        self, images: Sequence[np.ndarray], batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def encode_texts(
        self, texts: Sequence[str], batch_size: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...

    def match(self, tokens_NPD: np.ndarray, states_NSD: np.ndarray, mask_NS: np.ndarray,
              batch_size: int) -> np.ndarray: ...  # fmt: skip

    def describe(self, images: Sequence[np.ndarray], texts: Sequence[str], image_N: np.ndarray,
                 text_N: np.ndarray, batch_size: int) -> np.ndarray: ...  # fmt: skip


@dataclass(frozen=True)
class Asking:
    """How to ask: `max_new` tokens and `beams` beams for descriptions, `batch_size` rows at a time."""

    max_new: int
    batch_size: int
    beams: int

    @classmethod
    def of(cls, knobs: EvaluateParams, generation: Generation) -> "Asking":
        beams = generation.beams if generation.method == "beam" else 1
        return cls(generation.max_tokens, knobs.batch_size, beams)

    def tokens(self, describe: bool) -> int:
        return self.max_new if describe else min(SHORT_TOKENS, self.max_new)


@dataclass(frozen=True)
class Reranking:
    """How the best of a search are looked at again: `top` of them by the fusion head, of these
    `described_top` by the answering model, whose word costs a decoder pass a pair.

    `description_weight` is that of the log-probability of the text as a description of the picture. A text
    that is short or says what most do is likely of any picture, so `nothing_share` of its log-probability for
    a picture of nothing is taken off (alpha-debiasing of Lin et al. 2024, arXiv 2306.01879).
    """

    top: int
    described_top: int
    description_weight: float
    nothing_share: float

    @classmethod
    def of(cls, knobs: EvaluateParams) -> "Reranking":
        return cls(knobs.rerank_top, knobs.described_top, knobs.description_weight, knobs.nothing_share)


@dataclass(frozen=True)
class Answers:
    """Texts in the order of the split's triples, with the model's probability of each, its calibrated
    confidence and whether that is sure (Session.answer); share [L, H] of tokens at which a head was
    silenced."""

    texts: list[str]
    probability_N: np.ndarray
    confidence_N: np.ndarray
    sure: list[bool | None]
    silenced_LH: np.ndarray


def answers(predictor: Predictor, split: Split, spin: dict[str, Any], asking: Asking) -> Answers:
    """Every question of the split, chunk by chunk; descriptions in batches of their own."""
    said: list[Any] = [None] * len(split.triples)
    of_picture: dict[int, list[int]] = {}
    for index, picture in enumerate(split.picture_of):
        of_picture.setdefault(picture, []).append(index)
    gates: list[np.ndarray] = []
    for first, pictures in _chunks(split.rgb()):
        asked = [
            index for picture in range(first, first + len(pictures)) for index in of_picture.get(picture, [])
        ]
        for describe in (False, True):
            group = [index for index in asked if (split.triples[index]["type"] == "describe") == describe]
            given = predictor.answer(
                [pictures[split.picture_of[index] - first] for index in group],
                [split.triples[index]["question"] for index in group],
                spin=spin,
                max_new=asking.tokens(describe),
                need_maps=first < _GATED,
                batch_size=asking.batch_size,
                beams=asking.beams if describe else 1,
            )
            for index, answer in zip(group, given, strict=True):
                said[index] = answer.text, answer.probability, answer.confidence, answer.sure
                if answer.gates_LHT is not None:
                    gates.append(answer.gates_LHT)
    silenced_LH = (np.concatenate(gates, axis=2) < 1).mean(axis=2) if gates else np.zeros((0, 0))
    texts, probability, confidence, sure = (list(column) for column in zip(*said, strict=True))
    return Answers(texts, np.array(probability), np.array(confidence), sure, silenced_LH)


def by_question(predictor: Predictor, split: Split, asking: Asking) -> list[str]:
    """Answers of a predictor that does not see the picture: each distinct question is asked once."""
    picture = next(split.rgb())
    described = {triple["question"]: triple["type"] == "describe" for triple in split.triples}
    given: dict[str, str] = {}
    for describe in (False, True):
        questions = sorted(question for question, kind in described.items() if kind == describe)
        answered = predictor.answer(
            [picture] * len(questions), questions, spin=SPIN_OFF, max_new=asking.tokens(describe),
            need_maps=False, batch_size=asking.batch_size, beams=asking.beams if describe else 1,
        )  # fmt: skip
        given |= {question: answer.text for question, answer in zip(questions, answered, strict=True)}
    return [given[triple["question"]] for triple in split.triples]


@dataclass(frozen=True)
class Retrieved:
    """Ranks of the right answer per direction, the picture behind each query, and the swapped-kind pairs."""

    ranks: dict[str, np.ndarray]  # direction -> [Q]
    pictures: dict[str, np.ndarray]  # direction -> [Q]
    # swapped_kind -> picture, score of its caption, score of the changed one; and the same as `described`
    swapped_object: dict[str, list[tuple[int, float, float]]]


@dataclass(frozen=True)
class Swaps:
    """What the swapped-kind test draws from: the words for things, the kinds, and a generator."""

    lexicon: Lexicon
    kinds: list[str]
    rng: np.random.Generator


def retrieve(
    predictor: Predictor, split: Split, swaps: Swaps, asking: Asking, reranking: Reranking
) -> Retrieved:
    """Both directions over the gallery, each also re-ranked at its top: by the fusion head (`reranked`), and
    then by that and how likely the answering model would describe the picture so, and not any picture
    (`described`); and the swapped-kind test, by similarity and as described."""
    texts, owner_T, size = split.gallery()
    pairs = _swapped(split, texts, size, swaps) if split.true_objects else []
    # Every distinct text is read once: equal captions get equal bits, so they tie.
    distinct = sorted({*texts, *(text for _, text in pairs)})
    place = {text: index for index, text in enumerate(distinct)}
    text_T, owners = np.array([place[text] for text in texts]), np.arange(size)
    states_NSD, mask_NS, embeds_NE = predictor.encode_texts(distinct, batch_size=asking.batch_size)
    seen = list(islice(split.rgb(), size))
    tokens_IPD, image_IE = predictor.encode_images(seen, batch_size=asking.batch_size)
    similarity_IT = retrieval.similarity(image_IE, embeds_NE[text_T])

    def fuse(image_N: np.ndarray, text_N: np.ndarray) -> np.ndarray:
        chunks = [slice(start, start + _PAIRS) for start in range(0, len(image_N), _PAIRS)]
        return np.concatenate(
            [
                predictor.match(
                    tokens_IPD[image_N[chunk]], states_NSD[text_N[chunk]], mask_NS[text_N[chunk]],
                    batch_size=asking.batch_size,
                )
                for chunk in chunks
            ]
        )  # fmt: skip

    def describe(pictures: list[np.ndarray], image_N: np.ndarray, text_N: np.ndarray) -> np.ndarray:
        return predictor.describe(pictures, distinct, image_N, text_N, batch_size=asking.batch_size)

    num = len(distinct)
    anyway_N = reranking.nothing_share * describe([NOTHING], np.zeros(num, np.int64), np.arange(num))
    fused = _Once(fuse, num)
    told = _Once(lambda image_N, text_N: describe(seen, image_N, text_N) - anyway_N[text_N], num)

    def described(image_N: np.ndarray, text_N: np.ndarray) -> np.ndarray:
        return fused(image_N, text_N) + reranking.description_weight * told(image_N, text_N)

    def rerank(direction: str, image_QK: np.ndarray, text_QK: np.ndarray) -> None:
        """Ranks after the candidates, as images and texts of the gallery, are put in another order."""
        scores_QK = fused(image_QK, text_T[text_QK])
        right_QK = image_QK == owner_T[text_QK]
        ranks[f"{direction}_reranked"] = retrieval.reranked_ranks(scores_QK, right_QK, ranks[direction])
        best_QK = retrieval.candidates(scores_QK, reranking.described_top)
        image_QK, text_QK, right_QK = (
            np.take_along_axis(of_QK, best_QK, 1) for of_QK in (image_QK, text_QK, right_QK)
        )
        ranks[f"{direction}_described"] = retrieval.reranked_ranks(
            described(image_QK, text_T[text_QK]), right_QK, ranks[f"{direction}_reranked"]
        )

    ranks = {
        "image_to_text": retrieval.image_to_text_ranks(similarity_IT, owner_T),
        "text_to_image": retrieval.text_to_image_ranks(similarity_IT, owner_T),
    }
    text_IK = retrieval.candidates(similarity_IT, reranking.top)
    image_TK = retrieval.candidates(similarity_IT.T, reranking.top)
    rerank("image_to_text", np.broadcast_to(owners[:, None], text_IK.shape), text_IK)
    rerank("text_to_image", image_TK, np.broadcast_to(np.arange(len(text_T))[:, None], image_TK.shape))
    pictures = {kind: owner_T if kind.startswith("text") else owners for kind in ranks}
    if not pairs:
        return Retrieved(ranks, pictures, {})
    picture_N, changed_N = np.array([(picture, place[text]) for picture, text in pairs]).T
    own_N = text_T[picture_N]
    swapped_IN = retrieval.similarity(image_IE, embeds_NE[changed_N])
    scores = {
        "swapped_kind": (
            similarity_IT[picture_N, picture_N],
            swapped_IN[picture_N, np.arange(len(pairs))],
        ),
        "swapped_kind_described": (described(picture_N, own_N), described(picture_N, changed_N)),
    }
    scored = {
        kind: [(int(i), float(a), float(b)) for i, a, b in zip(picture_N, own, other, strict=True)]
        for kind, (own, other) in scores.items()
    }
    return Retrieved(ranks, pictures, scored)


class _Once:
    """A score of pairs, `score(image_N, text_N)`, worked out once a pair: the two directions of a search ask
    about many pairs twice. Takes and returns arrays of one shape; `texts` is the number of texts."""

    def __init__(self, score: Callable[[np.ndarray, np.ndarray], np.ndarray], texts: int) -> None:
        self._score, self._texts, self._known = score, texts, dict[int, float]()

    def __call__(self, image: np.ndarray, text: np.ndarray) -> np.ndarray:
        keys_N = (image * self._texts + text).ravel().tolist()
        if new := sorted(set(keys_N) - self._known.keys()):
            scores_n = self._score(*np.divmod(np.array(new), self._texts))
            self._known.update(zip(new, scores_n.tolist(), strict=True))
        return np.array([self._known[key] for key in keys_N]).reshape(image.shape)


def _swapped(split: Split, texts: list[str], size: int, swaps: Swaps) -> list[tuple[int, str]]:
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
