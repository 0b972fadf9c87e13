"""What an audit asks: pictures, questions with their truth, and requests to a model.

A question is about one picture (its cluster in the bootstrap). Questions that put the same words to the same
picture are one request, so a model answers each once.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np

from sightline.core.runtime import derive_seed
from sightline.data import images

PLAIN = "plain"  # the probe of a question as the data puts it
DESCRIPTION = "describe"  # the type of a description
NOISE_SEED = 0  # the picture of noise is the same in every audit
GREY = 128
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """An encoded picture (PNG or JPEG) with the id that its source gives it."""

    id: str
    data: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """sha256 of the bytes, hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def url(self) -> str:
        """As a data URL."""
        return images.data_url(self.data, "png" if self.data.startswith(b"\x89PNG") else "jpeg")


@dataclass(frozen=True)
class Question:
    """`about`: the picture whose truth it asks for, an index of Asked.pictures. `shown`: the digest of the
    picture that is sent. `probe`: PLAIN or one of `probes`. `truths`: the right answers, of several people
    where there are several. `choices`: the answers that are read in free words (answer_reading); none: any.
    `base`: the index of the question that a probe is compared with (its own where it is none)."""

    about: int
    shown: str
    probe: str
    type: str
    text: str
    truths: tuple[str, ...]
    choices: tuple[str, ...]
    base: int

    @property
    def key(self) -> str:
        """Names the request: the picture shown, and the words."""
        return hashlib.sha256(json.dumps([self.shown, self.text]).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Request:
    """One picture and one question for a model; `tokens` is the longest answer that is read."""

    key: str
    picture: Picture
    text: str
    tokens: int


@dataclass(frozen=True)
class Items:
    """Pictures with their questions, before probes. `triples[i]` are those of picture i: type, question,
    answer and, of several people, answers. `present[i]`: the kinds in it, by `objects` (kind -> its surface
    forms), for descriptions; None where that is unknown. `choices`: type -> the closed list of answers.
    `boxes[i]`: of each kind the boxes in it (x0, y0, x1, y1, half-open pixels); empty where unknown."""

    source: str
    pictures: Sequence[Picture]
    triples: Sequence[Sequence[dict]]
    present: Sequence[set[str] | None]
    objects: dict[str, list[str]]
    choices: dict[str, tuple[str, ...]]
    truth: str  # where the truth is from, in words
    boxes: Sequence[dict[str, list[Box]]] = ()


@dataclass(frozen=True)
class Asked:
    """All that is asked, with its truth, as asked.json holds it: what figures are computed from besides the
    answers. `pictures`: digests of those that are asked about."""

    source: str
    truth: str
    pictures: tuple[str, ...]
    questions: tuple[Question, ...]
    present: tuple[tuple[str, ...] | None, ...]
    objects: dict[str, list[str]]

    @cached_property
    def digest(self) -> str:
        """sha256, hex: equal for equal audits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Audit:
    """What is asked, and every picture that is shown."""

    asked: Asked
    pictures: Sequence[Picture]

    def requests(self, answer_tokens: int) -> list[Request]:
        """Every distinct request, in the order of the questions. A description may have four times the tokens
        of a short answer."""
        by_digest = {picture.digest: picture for picture in self.pictures}
        distinct = {question.key: question for question in self.asked.questions}
        return [
            Request(
                key, by_digest[question.shown], question.text,
                4 * answer_tokens if question.type == DESCRIPTION else answer_tokens,
            )
            for key, question in distinct.items()
        ]  # fmt: skip


def grey_picture(side: int) -> Picture:
    """Nothing to see: one grey."""
    return Picture("grey", images.encode(np.full((side, side, 3), GREY, np.uint8))[0])


def noise_picture(side: int) -> Picture:
    """Every pixel of a colour of its own."""
    rng = np.random.default_rng(derive_seed(NOISE_SEED, "audit", "noise"))
    return Picture("noise", images.encode(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))[0])
