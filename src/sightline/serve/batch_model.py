"""The session, the OOD detector and the item index of a bundle, answering in batches of one shape. No torch.
A converted model that only answers has neither detector nor index.

Shapes: B batch rows (all calls have the same B; a short batch is filled with copies of its first row), S
question tokens, P patches, D width, E embedding width, V vocabulary, C,Y,X channels and sides.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.core.artifacts import Artifact
from sightline.core.params.generation import Generation, Spin
from sightline.inference.answering import Answer
from sightline.inference.decoding import token_loop
from sightline.inference.decoding.sampling import sample_token
from sightline.inference.describing import SEED
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.session import MODEL, Session
from sightline.search.item_index import Hit
from sightline.search.user_index import BundleIndex, ReloadingIndex
from sightline.serve.image_input import Picture
from sightline.serve.safety.screen import ALLOWED, Verdict

NAME = "sightline"  # of the model in /v1/models
Emit = Callable[[int, list[int]], None]
Results = Callable[[Sequence[Hit]], tuple[list[Hit], Verdict]]


@dataclass(frozen=True)
class Question:
    """A question and its settings. `generation` is of this answer, sampled with `seed`; `maps`: return
    attention maps; `retrieval`: how many captions of similar pictures are read with the question."""

    text: str
    generation: Generation
    spin: Spin
    maps: bool = False
    retrieval: int = 0
    seed: int = SEED

    @property
    def batch_key(self) -> Hashable:
        """Equal for questions that may share a batch. A description that is not written word by word has one
        of its own: no other request waits for its candidates."""
        alone = None if self.generation.word_by_word else object()
        return self.spin, self.generation.max_tokens, self.maps, self.retrieval, alone


@dataclass(frozen=True)
class Query:
    """One row of a batch: a question and its picture."""

    question: Question
    picture: Picture


@dataclass(frozen=True)
class Reply:
    """An answer, the items whose captions were read with the question, and the picture's mean token, domain
    score (distance to the training pictures; both None without a detector) and size, `height` x `width`
    pixels. `hidden`: what the policy did to those captions before they were read."""

    answer: Answer
    retrieved: list[Hit]
    pooled_D: np.ndarray | None
    domain_score: float | None
    height: int
    width: int
    hidden: Verdict = ALLOWED


def as_they_are(hits: Sequence[Hit]) -> tuple[list[Hit], Verdict]:
    return list(hits), ALLOWED


class Model:
    """All model calls of a server. Its methods hold no state; one thread at a time calls `answer`, `pictures`
    and `texts`."""

    def __init__(
        self, session: Session, ood_detector: OODDetector | None,
        index: BundleIndex | ReloadingIndex | None, batch: int,
    ) -> None:  # fmt: skip
        self.session, self.ood_detector, self.index, self.batch = session, ood_detector, index, batch

    @classmethod
    def load(cls, bundle: Path, batch: int, index: Path | None = None, threads: int = 1) -> "Model":
        """The shipped model of a bundle; searches in `index`, else in the bundle's own items. `threads`: that
        a call is divided among."""
        session = Session.load(bundle, threads)
        if not session.searches and index is None:
            return cls(session, None, None, batch)
        digest = session.search_digest()
        item_index = ReloadingIndex(index, digest) if index else BundleIndex(bundle / "index", digest)
        return cls(session, OODDetector.load(bundle), item_index, batch)

    @property
    def fingerprint(self) -> str:
        """Names the graphs, for `system_fingerprint`."""
        if self.index is None:
            assert self.session.folder is not None  # of a bundle
            return f"{MODEL}-{Artifact(self.session.folder, 'bundle', {}).digest()[:12]}"
        return f"{MODEL}-{self.index.digest[:12]}"

    @property
    def provider(self) -> str:
        """What its graphs run on (inference/execution_provider.py)."""
        return self.session.provider

    def answer(
        self, queries: Sequence[Query], emit: Emit, dropped: Callable[[int], bool],
        results: Results = as_they_are,
    ) -> list[Reply]:  # fmt: skip
        """Answer up to B rows of one `batch_key`. `emit(row, ids)` is called as an answer grows, word by word
        where its decoding allows; rows that are `dropped` delay no other. `results`: what of the retrieved
        captions may be read."""
        rows, question = len(queries), queries[0].question
        pixels_BCYX = self._filled([query.picture.pixels_CYX for query in queries])
        k, found = question.retrieval, list[list[Hit]]([] for _ in queries)
        pooled: list[np.ndarray | None] = [None] * rows
        if self.index is not None:
            tokens_BPD, embeds_BE = self.session.engine.embed_images(pixels_BCYX)
            pooled = list(tokens_BPD[:rows].mean(axis=1))
            if k:
                found = self.index.item_index().similar_pictures(embeds_BE[:rows], k)
        screened = [results(similar) for similar in found]
        hits, captions = [kept for kept, _ in screened], [[hit.text for hit in kept] for kept, _ in screened]
        if question.generation.word_by_word:
            answers = self._word_by_word(queries, pixels_BCYX, captions, emit, dropped)
        else:
            answers = [
                self.session.answer_pixels(
                    query.picture.pixels_CYX, query.question.text, query.question.generation,
                    query.question.spin, need_maps=query.question.maps, captions=texts,
                )
                for query, texts in zip(queries, captions, strict=True)
            ]  # fmt: skip
        return [
            Reply(
                answer,
                hits[row],
                pooled[row],
                self._domain_score(pooled[row]),
                queries[row].picture.height,
                queries[row].picture.width,
                screened[row][1],
            )
            for row, answer in enumerate(answers)
        ]

    def _domain_score(self, pooled_D: np.ndarray | None) -> float | None:
        if pooled_D is None or self.ood_detector is None:
            return None
        return float(self.ood_detector.distances(pooled_D[None])[0])

    def _word_by_word(
        self, queries: Sequence[Query], pixels_BCYX: np.ndarray, captions: list[list[str]], emit: Emit,
        dropped: Callable[[int], bool],
    ) -> list[Answer]:  # fmt: skip
        session, rows, question = self.session, len(queries), queries[0].question
        ids_NS, mask_NS = session.question_ids([query.question.text for query in queries])
        memory = session.memory(
            session.engine.image_tokens(pixels_BCYX), self._filled(ids_NS), self._filled(mask_NS),
            captions + [captions[0]] * (self.batch - rows),
        )  # fmt: skip
        inputs = session.decoding_inputs(question.generation, question.spin)
        written: list[token_loop.Token] = []
        ids: list[list[int]] = [[] for _ in queries]
        for token in token_loop.steps(
            session.engine, memory, _pick(queries), inputs, need_maps=question.maps, rows=rows
        ):
            written.append(token)
            waiting = False
            for row in np.flatnonzero(token.active_B[:rows]).tolist():
                new, gone = int(token.ids_B[row]), dropped(row)
                waiting |= new != inputs.eos and not gone
                if new != inputs.eos and not gone:
                    ids[row].append(new)
                    emit(row, ids[row])
            if not waiting:
                break
        generated = token_loop.collect(iter(written), inputs.eos, rows)
        return [
            session.finish(
                tokens, query.question.text, ids_NS[row], mask_NS[row], query.question.generation.decoding
            )
            for row, (tokens, query) in enumerate(zip(generated, queries, strict=False))
        ]

    def pictures(self, pixels: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """(unit embedding [E], mean token [D], domain score) of up to B preprocessed pictures. SessionError
        of a model that only answers."""
        self.session.require_search()
        assert self.ood_detector is not None  # a model that searches has one
        detector = self.ood_detector
        tokens_BPD, embeds_BE = self.session.engine.embed_images(self._filled(pixels))
        pooled_ND = tokens_BPD[: len(pixels)].mean(axis=1)
        scores = [float(detector.distances(pooled_D[None])[0]) for pooled_D in pooled_ND]
        return list(zip(embeds_BE, pooled_ND, scores, strict=False))

    def texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Unit embeddings [E] of up to B texts."""
        return list(self.session.embed_texts(texts, self.batch))

    def _filled(self, rows: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        return np.stack([*rows, *([rows[0]] * (self.batch - len(rows)))])


def _pick(queries: Sequence[Query]) -> Callable[[np.ndarray], np.ndarray]:
    """The likeliest token, or one drawn by the row's own generator where its answer is sampled."""
    samplers = {
        row: (np.random.default_rng(query.question.seed), query.question.generation)
        for row, query in enumerate(queries)
        if query.question.generation.method == "sampling"
    }

    def pick(logprobs_BV: np.ndarray) -> np.ndarray:
        ids_B = logprobs_BV.argmax(axis=1)
        for row, (generator, settings) in samplers.items():
            ids_B[row] = sample_token(
                logprobs_BV[row], generator.random(), settings.temperature, settings.top_p
            )
        return ids_B

    return pick
