"""The description that is most like its picture, of several: a session's models choose among the candidates
of inference.decoding.clip_guided. Numpy alone, as session.

C candidates, E embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.inference.decoding import clip_guided, contrastive
from sightline.inference.decoding.clip_guided import Guide
from sightline.inference.session import GENERATION, Answer, Session, SessionError

PLAIN = {"candidates": 1, "strength": 0.0}


@dataclass(frozen=True)
class Guided:
    """`answer` is the candidate of the largest likeness; likeness_C: cosine of a candidate's embedding and
    the picture's, in the order of `candidates`."""

    answer: Answer
    candidates: list[str]
    likeness_C: np.ndarray


def of_bundle(session: Session) -> Guide:
    """How the session's bundle wants descriptions chosen. Raises ValueError for settings that are none."""
    given = session.generation.get("describe", PLAIN)  # bundles of 0.8.0 have none
    named = isinstance(given, dict) and given.keys() == PLAIN.keys()
    if not named or not all(isinstance(given[name], type(PLAIN[name])) for name in PLAIN):
        raise SessionError(f"{GENERATION}: describe is {given!r}, expected numbers: {', '.join(PLAIN)}")
    return Guide(**given)


def describe(
    session: Session, image: np.ndarray, question: str, guide: Guide, spin: dict[str, Any] | None = None,
    max_new: int | None = None, captions: Sequence[str] = (),
) -> Guided:  # fmt: skip
    """Ask for a description of a picture (uint8 [Y, X, 3]) and choose among its candidates; `spin`, `max_new`
    and `captions` as in Session.answer. Of equals the likeliest, then the one drawn first.

    Raises ValueError for settings out of range.
    """
    pixels_1CYX, (ids_1S, mask_1S) = session.pixels([image]), session.question_ids([question])

    def memory(pixels_CYX: np.ndarray):
        return session.memory(session.engine.image_tokens(pixels_CYX[None]), ids_1S, mask_1S, [captions])

    generators = [np.random.default_rng([guide.seed, draw]) for draw in range(guide.candidates)]
    drawing, noise = generators[1:], generators[0]
    held = memory(contrastive.noised(pixels_1CYX[0], guide.noise, noise)) if guide.strength else None
    written = clip_guided.generate(
        session.engine, memory(pixels_1CYX[0]), held, guide, drawing, **session.knobs(spin, max_new)
    )
    written = [written[-1], *written[:-1]]
    texts = [session.tokenizer.decode(generation.ids) for generation in written]
    embeds_CE, (embed_E,) = session.embed_texts(texts), session.embed_images([image])
    likeness_C = embeds_CE @ embed_E
    best = written[int(likeness_C.argmax())]
    return Guided(session.finish(best, ids_1S[0], mask_1S[0]), texts, likeness_C)
