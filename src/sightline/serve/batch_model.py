"""The session, the domain and the gallery of one bundle, answering in batches of one fixed shape. No torch.

Shapes: B batch rows (all calls have the same B; a short batch is filled with copies of its first row), S
question tokens, P patches, D width, E embedding width, V vocabulary, C,Y,X channels and sides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.inference.decoding import token_loop
from sightline.inference.decoding.sampling import draw
from sightline.inference.out_of_domain import Domain
from sightline.inference.session import MODEL, SPIN_OFF, Answer, Session
from sightline.search.item_index import Hit
from sightline.search.user_index import Fixed, Watched
from sightline.serve.image_input import Picture

NAME = "sightline"  # of the model in /v1/models


@dataclass(frozen=True)
class Settings:
    """What all rows of a batch share: SPIN, the longest answer in tokens, whether maps are wanted, how many
    captions of similar pictures a question is read beside."""

    keep: float | None
    top_k: int | None
    alpha: float
    layers: tuple[int, ...]
    max_new: int
    maps: bool
    retrieval: int = 0

    def spin(self) -> dict[str, Any]:
        knobs = {"keep": self.keep, "top_k": self.top_k, "alpha": self.alpha, "layers": list(self.layers)}
        return SPIN_OFF | knobs


@dataclass(frozen=True)
class Ask:
    """One row: a picture, a question, and how its tokens are chosen (temperature 0: greedy)."""

    picture: Picture
    question: str
    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True)
class Reply:
    """An answer, the pictures whose captions it was given, and what the picture's encoding tells: its mean
    token, its distance to the training pictures. The picture asked about had `height` x `width` pixels."""

    answer: Answer
    retrieved: list[Hit]
    pooled_D: np.ndarray
    domain_score: float
    height: int
    width: int


class Model:
    """Everything a server asks. Its methods hold no state; one thread at a time calls `answer`, `pictures`
    and `texts`."""

    def __init__(self, session: Session, known: Domain, gallery: Fixed | Watched, batch: int) -> None:
        self.session, self.known, self.gallery, self.batch = session, known, gallery, batch
        self.limit: int = session.engine.config["max_answer"]

    @classmethod
    def load(cls, bundle: Path, batch: int, index: Path | None = None) -> "Model":
        """The shipped model of a bundle; searches in `index`, else in the bundle's own items."""
        session = Session.load(bundle)
        digest = session.engine.search_digest()
        gallery = Watched(index, digest) if index else Fixed(bundle / "index", digest)
        return cls(session, Domain.load(bundle), gallery, batch)

    @property
    def fingerprint(self) -> str:
        """Names the graphs, for `system_fingerprint`."""
        return f"{MODEL}-{self.gallery.digest[:12]}"

    def answer(
        self, settings: Settings, asks: Sequence[Ask], said: Callable[[int, str], None],
        dropped: Callable[[int], bool],
    ) -> list[Reply]:  # fmt: skip
        """Answer up to B rows. `said(row, text)` is told each answer as it grows; rows that are `dropped`
        hold nobody up."""
        session, rows = self.session, len(asks)
        pixels_BCYX = self._filled([ask.picture.pixels_CYX for ask in asks])
        tokens_BPD, embeds_BE = session.engine.embed_images(pixels_BCYX)
        pooled_ND = tokens_BPD[:rows].mean(axis=1)
        ids_NS, mask_NS = session.question_ids([ask.question for ask in asks])
        k = settings.retrieval
        hits = self.gallery.gallery().others(embeds_BE[:rows], k) if k else [[] for _ in asks]
        told = [[hit.text for hit in found] for found in hits]
        memory = session.memory(
            session.engine.image_tokens(pixels_BCYX), self._filled(ids_NS), self._filled(mask_NS),
            told + [told[0]] * (self.batch - rows),
        )  # fmt: skip
        knobs, written, ids = session.knobs(settings.spin(), settings.max_new), [], [[] for _ in asks]
        for token in token_loop.steps(
            session.engine, memory, _pick(asks), need_maps=settings.maps, rows=rows, **knobs
        ):
            written.append(token)
            waiting = False
            for row in np.flatnonzero(token.active_B[:rows]):
                new, gone = int(token.ids_B[row]), dropped(row)
                waiting |= new != knobs["eos"] and not gone
                if new != knobs["eos"] and not gone:
                    ids[row].append(new)
                    said(row, ids[row])
            if not waiting:
                break
        generations = token_loop.collect(iter(written), knobs["eos"], rows)
        scores_N = [float(self.known.distances(pooled_D[None])[0]) for pooled_D in pooled_ND]
        return [
            Reply(
                session.finish(generation, ids_NS[row], mask_NS[row]),
                hits[row],
                pooled_ND[row],
                score,
                asks[row].picture.height,
                asks[row].picture.width,
            )  # fmt: skip
            for row, (generation, score) in enumerate(zip(generations, scores_N, strict=True))
        ]

    def pictures(self, pixels: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """(unit embedding [E], mean token [D], domain score) of up to B preprocessed pictures."""
        tokens_BPD, embeds_BE = self.session.engine.embed_images(self._filled(pixels))
        pooled_ND = tokens_BPD[: len(pixels)].mean(axis=1)
        scores = [float(self.known.distances(pooled_D[None])[0]) for pooled_D in pooled_ND]
        return list(zip(embeds_BE, pooled_ND, scores, strict=False))

    def texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Unit embeddings [E] of up to B texts."""
        return list(self.session.embed_texts(texts, self.batch))

    def _filled(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([*rows, *([rows[0]] * (self.batch - len(rows)))])


def _pick(asks: Sequence[Ask]) -> Callable[[np.ndarray], np.ndarray]:
    """The likeliest token, or one drawn by the row's own generator where it has a temperature."""
    draws = {row: np.random.default_rng(ask.seed) for row, ask in enumerate(asks) if ask.temperature > 0}

    def pick(logprobs_BV: np.ndarray) -> np.ndarray:
        ids_B = logprobs_BV.argmax(axis=1)
        for row, generator in draws.items():
            ask = asks[row]
            ids_B[row] = draw(logprobs_BV[row], generator.random(), ask.temperature, ask.top_p)
        return ids_B

    return pick
