"""Settings of a request as the typed settings of the project: the only module where HTTP fields become
a `Spin` and a `Generation`.
"""

import random
from dataclasses import dataclass

from sightline.core.params.generation import Generation, Spin
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.inference.describing import SEED
from sightline.inference.encoding import NO_ANSWERS
from sightline.inference.session import Session
from sightline.serve import api_schema
from sightline.serve.api_error import ApiError
from sightline.serve.batch_model import Question

_DRAW = random.Random()  # seeds: a system call for each would let other threads go first


@dataclass(frozen=True)
class Options:
    """Fields of a request; None: as the bundle answers. `stream`: the answer is sent as it grows."""

    spin: bool | api_schema.Spin | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    maps: bool = False
    retrieval: int = 0
    stream: bool = False


def question(session: Session, text: str, options: Options) -> Question:
    """The model's question; an empty text asks for a description. Raises ApiError for a model that does not
    answer and for a gate that it does not have; a longer answer than its longest is no error: it never
    comes."""
    if not session.answers:
        raise ApiError(400, NO_ANSWERS, "no_answers", "model")
    text = text.strip() or DESCRIBE
    spin = _spin(session, options.spin)
    gated = bool((session.heads_kept(spin)[0] < session.engine.config["heads"]).any())
    return Question(
        text, _generation(session, text, options), spin, options.maps or gated, options.retrieval,
        _seed(options),
    )  # fmt: skip


def _generation(session: Session, text: str, options: Options) -> Generation:
    """As the bundle answers this question, unless the request samples, wants the likeliest words (temperature
    0), or is a stream that cannot wait for the choice among several descriptions."""
    generation = session.decoding(text)
    if options.temperature:
        top_p = 1.0 if options.top_p is None else options.top_p
        generation = generation.greedy().replaced(
            method="sampling", temperature=options.temperature, top_p=top_p
        )
    elif options.temperature == 0 or (options.stream and not generation.word_by_word):
        generation = generation.greedy()
    if options.max_tokens is None:
        return generation
    return generation.replaced(max_tokens=min(options.max_tokens, session.engine.config["max_answer"]))


def _spin(session: Session, requested: bool | api_schema.Spin | None) -> Spin:
    """The gate of a request: the bundle's default, none, the bundle's, or that with some fields replaced."""
    if requested is None or isinstance(requested, bool):
        return session.spin(requested)
    fields = requested.model_dump(exclude_none=True)
    if "layers" in fields:
        fields["layers"] = tuple(sorted(set(fields["layers"])))
    if "keep" in fields or "top_k" in fields:
        fields = {"keep": None, "top_k": None} | fields
    try:
        spin = session.settings.spin.replaced(**fields)
        session.heads_kept(spin)
    except ValueError as error:
        raise ApiError(400, _reason(error), "invalid_spin", "sightline.spin") from error
    return spin


def _reason(error: ValueError) -> str:
    """The first sentence of an error, without pydantic's lines around it."""
    errors = getattr(error, "errors", None)
    return errors()[0]["msg"].removeprefix("Value error, ") if errors else str(error)


def _seed(options: Options) -> int:
    if options.seed is not None:
        return options.seed % 2**63
    return _DRAW.getrandbits(63) if options.temperature else SEED
