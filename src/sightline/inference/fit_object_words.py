"""How likely the least likely object word of a description usually is, fitted on pictures of `val`."""

from collections.abc import Iterable, Mapping

import numpy as np

from sightline.core import progress
from sightline.core.params.generation import SPIN_OFF, Generation, Spin
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.inference import calibration_data
from sightline.inference.drift import FEWEST, Histogram
from sightline.inference.object_words import ObjectWords
from sightline.inference.session import Session

DESCRIPTIONS = 500  # of val, evenly spread: a share of a tenth is then known to 1.3 points
DOUBTFUL = 10.0  # percent of val's descriptions


def fit(
    session: Session, items: Items, val: Triples, objects: Mapping[str, Iterable[str]],
    generation: Generation, spin: Spin, max_pixels: int,
) -> ObjectWords | None:  # fmt: skip
    """The bound below which DOUBTFUL percent of the descriptions of val are, written as the bundle will do.
    `objects`: the surface forms of every kind of thing. None where the model does not describe, or fewer than
    FEWEST descriptions name a thing."""
    pictures = calibration_data.described_pictures(items, val, DESCRIPTIONS, max_pixels)
    if not session.answers or len(pictures) < FEWEST:
        return None
    known = ObjectWords([form for kind, forms in objects.items() for form in (kind, *forms)], 0.0)
    before, session.object_words = session.object_words, known
    try:
        with progress.step("describing pictures of val"):
            answers = session.answer(
                pictures, [DESCRIBE] * len(pictures), generation, spin if generation.spin else SPIN_OFF,
                batch_size=calibration_data.BATCH,
            )  # fmt: skip
    finally:
        session.object_words = before
    least = [answer.object_probability for answer in answers if answer.object_probability is not None]
    if len(least) < FEWEST:
        return None
    bound = float(np.percentile(least, DOUBTFUL, method="lower"))
    return ObjectWords(known.forms, bound, Histogram.of(least, bound))
