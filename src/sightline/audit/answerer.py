"""What an audited model must do: answer requests, in any order, greedily."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from sightline.audit.audit_items import Request
from sightline.core.typed_json import Described


class Identity(Described):
    """Which model answers. `form`: bundle, endpoint or transformers. `version`: what tells one model from
    another of that name: a digest, a commit; empty where nothing does."""

    form: str
    name: str
    version: str


class Reply(Described):
    """One answer. `probability`: what the model gives it, None where it says none. `refused`: declined by
    the service itself. `cut`: it ended at the longest answer that is read. Tokens are None where they are not
    counted."""

    text: str
    probability: float | None = None
    refused: bool = False
    cut: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float = 0.0


class Answerer(Protocol):
    identity: Identity

    def answers(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        """Each request with its reply, as they come. ValueError for what makes going on pointless; replies
        that came before it are not lost."""
