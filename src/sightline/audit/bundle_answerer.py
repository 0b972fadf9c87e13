"""A bundle of Sightline: answers as its server gives them to a request with temperature 0."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from sightline.audit.answerer import Identity, Reply
from sightline.audit.audit_items import Request
from sightline.core import artifacts
from sightline.data import images
from sightline.inference.session import Session

BATCH = 8  # as deploy/base.yaml has it: an answer depends on the shape of its batch by the last bits
CHUNK = 16 * BATCH  # answered between two writes
MAX_PIXELS = 2**25
DIGITS = 4  # of a confidence, as the server sends them


class BundleAnswerer:
    """`folder` is a bundle. Raises ValueError for a damaged one and for one that does not answer."""

    def __init__(self, folder: Path, batch: int = BATCH) -> None:
        self._session, self._batch = Session.load(folder), batch
        self._session.require_answers()
        digest = artifacts.load(folder, "bundle").digest()
        self.identity = Identity(form="bundle", name=folder.resolve().name, version=digest)

    def answers(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        longest = self._session.engine.config["max_answer"]
        for tokens in sorted({request.tokens for request in requests}):
            generation = self._session.settings.generation.greedy().replaced(max_tokens=min(tokens, longest))
            waiting = iter([request for request in requests if request.tokens == tokens])
            while chunk := list(islice(waiting, CHUNK)):
                started = time.monotonic()
                pictures = {it.picture.digest: it.picture for it in chunk}
                decoded = {
                    digest: images.decode(picture.data, MAX_PIXELS, picture.id)
                    for digest, picture in pictures.items()
                }
                answers = self._session.answer(
                    [decoded[it.picture.digest] for it in chunk], [it.text for it in chunk], generation,
                    self._session.spin(None), batch_size=self._batch,
                )  # fmt: skip
                each = (time.monotonic() - started) / len(chunk)
                for request, answer in zip(chunk, answers, strict=True):
                    yield request, Reply(
                        text=answer.text, probability=round(answer.confidence, DIGITS),
                        cut=not answer.finished, completion_tokens=len(answer.ids), seconds=each,
                    )  # fmt: skip
