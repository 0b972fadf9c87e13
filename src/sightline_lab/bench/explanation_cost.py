"""Cost of an answer with its explanation by attention, relative to the answer alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sightline.explain.target import ExplainedModel, explain
from sightline_lab.bench import paired_timing

METHOD = "cross_attention"


def ratios(
    subject: ExplainedModel, pictures: list[np.ndarray], questions: list[str], rounds: int
) -> list[dict]:
    """For each question, asked about every picture in each round, in turn with and without the maps of every
    word: mean tokens of an answer, and how many times as long it takes to explain it too, a median with
    quartiles over the rounds."""
    rows = []
    for question in questions:
        answers: list = []

        def answer(question: str = question, answers: list = answers) -> None:
            answers[:] = [subject.session.answer([rgb], [question], spin=subject.spin)[0] for rgb in pictures]

        def both(question: str = question) -> None:
            for rgb in pictures:
                explain(subject, METHOD, rgb, question)

        runners: dict[str, Callable[[], object]] = {"answer": answer, "explained": both}
        seconds = paired_timing.interleaved(runners, rounds)
        rows.append(
            {
                "question": question,
                "method": METHOD,
                "tokens": paired_timing.rounded(np.mean([len(each.ids) for each in answers])),
                "answer_ms": paired_timing.rounded(1000 * np.median(seconds["answer"]) / len(pictures)),
                "ratio": paired_timing.spread(seconds["explained"] / seconds["answer"]),
            }
        )
    return rows
