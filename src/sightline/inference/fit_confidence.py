"""How far the shipped variant's short answers can be trusted, fitted on questions of `val`."""

import numpy as np

from sightline.core import progress, runtime
from sightline.data.questions.deciding_figure import ACCURACY, ENOUGH, deciding_figure
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.inference import calibration_data, drift
from sightline.inference.confidence import NOT_FITTED, Confidence, calibrated, fit_temperature, sure_above
from sightline.inference.session import Session

QUESTIONS = 2000


def fit(session: Session, items: Items, val: Triples, accuracy: float, max_pixels: int) -> Confidence:
    """The temperature of short answers, and the confidence above which they are right in `accuracy` percent.

    Asks up to QUESTIONS short questions, evenly spread. `session` must not be calibrated yet. Where the model
    does not answer, or `val` has too few short questions to tell, nothing is fitted and no answer is sure.
    """
    short = len(calibration_data.short_lines(items, val)) if session.answers else 0
    if deciding_figure(short) != ACCURACY:
        runtime.log(f"no bound of sure answers: val has {short} short questions, {ENOUGH} are enough")
        return NOT_FITTED
    questions = calibration_data.read(items, val, QUESTIONS, max_pixels, short=True)
    with progress.step("fitting the confidence"):
        answers = calibration_data.answer(session, questions)
    probability_N = np.array([answer.probability for answer in answers])
    right_N = calibration_data.correct(session, answers, questions)
    temperature = fit_temperature(probability_N, right_N)
    confidence_N = calibrated(probability_N, temperature)
    bound = sure_above(confidence_N, right_N, accuracy)
    return Confidence(
        temperature=temperature, sure_above=bound, reference=drift.reference(confidence_N, bound)
    )
