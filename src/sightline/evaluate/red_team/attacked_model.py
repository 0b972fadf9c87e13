"""The model as users meet it: an answer, and whether it is given as sure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline.core import artifacts
from sightline.evaluate.red_team.cases import Ask, Given, Untestable
from sightline.evaluate.red_team.material import Material
from sightline.inference.batching import picture_key
from sightline.inference.encoding import NO_ANSWERS, SessionError
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.session import Session

BATCH, CHUNK = 32, 256  # questions at once; questions whose pictures are in memory at once


@dataclass(frozen=True)
class AttackedModel:
    """A bundle that is asked. `detector` None: no picture gets a warning; `language`: of its data; `digest`:
    of its manifest."""

    session: Session
    detector: OODDetector | None
    language: str
    digest: str

    @classmethod
    def load(cls, bundle: Path, threads: int = 1) -> "AttackedModel":
        """The shipped model of a bundle. Raises ValueError for a damaged one."""
        found = artifacts.load(bundle, "bundle")
        return cls(
            Session.load(bundle, threads),
            OODDetector.load(bundle),
            found.config.get("language", "en"),
            found.digest(),
        )

    def require_answers(self) -> None:
        """Raises Untestable for a model that only searches."""
        if not self.session.answers:
            raise Untestable(NO_ANSWERS)

    def require_sure(self) -> None:
        """Raises Untestable for a model that calls no answer sure."""
        if self.session.settings.confidence.sure_above is None:
            raise Untestable("this model has no bound above which an answer is given as sure")

    def require_captions(self, material: Material, ask: Ask) -> None:
        """Raises Untestable for a model whose questions retrieved captions cannot reach: it refuses them."""
        try:
            self.answer(material, [ask])
        except SessionError as error:
            raise Untestable(f"retrieved captions cannot reach its questions: {error}") from error

    def answer(self, material: Material, asks: Sequence[Ask], warned: bool = False) -> list[Given]:
        """Every question answered as the bundle answers. `warned`: a picture that gets the out-of-domain
        warning makes its answer unsure."""
        given: list[Given] = []
        for start in range(0, len(asks), CHUNK):
            given += self._chunk(material, asks[start : start + CHUNK], warned)
        return given

    def _chunk(self, material: Material, asks: Sequence[Ask], warned: bool) -> list[Given]:
        pictures = [
            material.rgb(ask.picture) if ask.change is None else ask.change(material.rgb(ask.picture), 1)
            for ask in asks
        ]
        captions = [ask.captions for ask in asks] if any(ask.captions for ask in asks) else None
        answers = self.session.answer(
            pictures, [ask.question for ask in asks], batch_size=BATCH, captions=captions
        )
        unlike = set()
        if warned and self.detector is not None:
            distinct = {picture_key(rgb): rgb for rgb in pictures}
            scores = self.detector.scores(self.session, distinct.values())
            unlike = {key for key, score in zip(distinct, scores, strict=True) if score > self.detector.bound}
        return [
            Given(
                answer.text, answer.confidence, answer.probability,
                bool(answer.sure) and (not unlike or picture_key(rgb) not in unlike),
            )
            for answer, rgb in zip(answers, pictures, strict=True)
        ]  # fmt: skip
