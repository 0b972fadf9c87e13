"""What a source gives: rows, and what cannot be one.

A row is one line of a table, one caption of a photo, one sample of a shard. Rows of the same item are joined
by `build_items`.
"""

from collections.abc import Callable
from dataclasses import dataclass

Location = str | tuple[int | str, ...]  # a path or an address; or where the source finds the bytes
Read = Callable[[Location], bytes]  # called from several threads; raises PictureError, FetchError


@dataclass(frozen=True)
class Question:
    """A question with the answers that people gave; kind: as annotated (`number`, `pope_random`), or ''."""

    question: str
    answers: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Row:
    """where: file and line, for messages. id, split, title: empty where the source has none.
    digest: of a picture that has no name of its own."""

    where: str
    texts: tuple[str, ...] = ()
    id: str = ""
    picture: Location = ""
    digest: str = ""
    split: str = ""
    title: str = ""
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A row that cannot be used: which, a stable reason code, and a sentence for people."""

    id: str
    reason: str
    detail: str


class PictureError(ValueError):
    """A picture that could not be read. `reason` is a stable code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
