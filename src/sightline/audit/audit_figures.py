"""From the answers of an audit to its figures, with 95 % intervals by a bootstrap over pictures.

Rows beside the model: `majority`, the most frequent true answer of each type of question (the best constant
answer to these very questions), and `blind`, the model's own answers to the same questions about an empty
grey picture. C pictures, R resamples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sightline.audit.answer_reading import INVALID, YES_NO, read, refuses
from sightline.audit.answerer import Reply
from sightline.audit.audit_items import DESCRIPTION, PLAIN, Asked, Question
from sightline.audit.probes import BLIND, CONSISTENCY, GREY, NOISE, PROMPTS, SWAPPED
from sightline.core.runtime import derive_seed
from sightline.data.questions.question_types import POPE_TYPES
from sightline.evaluate import majority_baseline
from sightline.evaluate.bootstrap import Figure, resamples
from sightline.evaluate.metrics import calibration, chair, pope, vqa_accuracy
from sightline.evaluate.metrics.chair import Lexicon
from sightline.evaluate.metrics.ratios import Counts, share
from sightline.evaluate.scoring import Group, counted_group

RESAMPLES = 1000
MODEL, MAJORITY, BLIND_ROW = "model", "majority", "blind"
EXISTENCE, DESCRIPTIONS, SHORT = "existence", "descriptions", "short answers"
CONSISTENT, PRIOR, PROMPT = "consistency", "language prior", "prompts"
CALIBRATION, REFUSALS = "calibration", "refusals"
PARTS = (EXISTENCE, DESCRIPTIONS, SHORT, CONSISTENT, PRIOR, PROMPT, CALIBRATION, REFUSALS)
ALL = "all"


@dataclass(frozen=True)
class Shares:
    """A measure whose figures are shares of its cases, percent."""

    names: tuple[str, ...]

    @property
    def FIGURES(self) -> dict[str, Figure]:
        return {name: partial(_share, name=name) for name in self.names}

    def sample_size(self, counts: Counts) -> np.ndarray:
        return counts["cases"]

    def item_counts(self, **met: bool | float) -> dict[str, float]:
        """Counts of one case: which of the names it meets."""
        assert tuple(met) == self.names
        return {"cases": 1.0} | {name: float(value) for name, value in met.items()}


def _share(counts: Counts, name: str) -> np.ndarray:
    return share(counts[name], counts["cases"])


READ = Shares(("accuracy", "invalid"))
AGREEMENT = Shares(("agreement", "accuracy"))
UNSEEN = Shares(("still_yes",))
NOTHING = Shares(("yes", "invalid"))
FOLLOWED = Shares(("followed", "same_answer"))
STEADY = Shares(("agreement",))
DECLINED = Shares(("refused", "cut"))


class Answers:
    """The answers to what was asked, read by the rules of answer_reading.

    `kept`: the questions that count, by their index, in this order (default: all). `clusters`: the digests of
    the pictures in the order of the bootstrap (default: those of `asked`). Raises ValueError where an answer
    is missing.
    """

    def __init__(
        self, asked: Asked, replies: Mapping[str, Reply], kept: Sequence[int] | None = None,
        clusters: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        questions = asked.questions
        missing = sum(question.key not in replies for question in questions)
        if missing:
            raise ValueError(f"{missing} of {len(questions)} questions have no answer: the audit is not over")
        self.asked, self.questions = asked, questions
        self.replies = [replies[question.key] for question in questions]
        self.read = [
            read(reply.text, question.choices)
            for question, reply in zip(questions, self.replies, strict=True)
        ]
        self._kept = range(len(questions)) if kept is None else kept
        number = {digest: cluster for cluster, digest in enumerate(clusters or asked.pictures)}
        self._cluster_of = {about: number.get(digest, -1) for about, digest in enumerate(asked.pictures)}

    def right(self, index: int) -> float:
        """How right an answer is, in [0, 1]."""
        return rightness(self.questions[index], self.read[index])

    def of(self, probe: str) -> list[int]:
        """Questions of a probe that count."""
        return [index for index in self._kept if self.questions[index].probe == probe]

    def clusters(self, indices: Sequence[int]) -> list[int]:
        """The picture that each of these questions is about, by its number in the bootstrap."""
        return [self._cluster_of[self.questions[index].about] for index in indices]

    def once(self, indices: Sequence[int]) -> list[int]:
        """Without questions that are the same request as an earlier one."""
        return list({self.questions[index].key: index for index in reversed(indices)}.values())[::-1]


def rightness(question: Question, answer: str) -> float:
    return vqa_accuracy.accuracy(question.truths, answer)


def weights(asked: Asked, count: int = RESAMPLES) -> np.ndarray:
    """How often each picture is drawn in each resample, [R, C]: the same for equal numbers of pictures."""
    rng = np.random.default_rng(derive_seed(0, "audit", "bootstrap"))
    return resamples(len(asked.pictures), count, rng)


def groups(answers: Answers, weights_RC: np.ndarray) -> list[Group]:
    """The counts of every part."""
    made = [
        *plain_groups(answers, weights_RC),
        *_consistency(answers, weights_RC),
        *_prior(answers, weights_RC),
        *_prompts(answers, weights_RC),
        *_calibration(answers, weights_RC),
        *_refusals(answers, weights_RC),
    ]
    return sorted(made, key=lambda group: PARTS.index(group.family))


def baseline_groups(answers: Answers, weights_RC: np.ndarray) -> dict[str, list[Group]]:
    """The counts of existence, descriptions and short answers as the majority and the blind row have them;
    the majority describes nothing."""
    questions = answers.questions
    plain = answers.of(PLAIN)
    by_type = majority_baseline.majority(
        {"type": questions[index].type, "answer": truth}
        for index in plain
        for truth in questions[index].truths[:1]
    )
    constant = [by_type.get(question.type, "") for question in questions]
    unseen = {questions[index].base: index for index in answers.of(BLIND)}
    blind = [answers.read[unseen.get(index, index)] for index in range(len(questions))]
    replies = [answers.replies[unseen.get(index, index)] for index in range(len(questions))]
    majority = _plain(answers, constant, answers.replies, weights_RC)
    return {
        MAJORITY: [group for group in majority if group.family != DESCRIPTIONS],
        BLIND_ROW: list(_plain(answers, blind, replies, weights_RC)),
    }


def _plain(
    answers: Answers, texts: Sequence[str], replies: Sequence[Reply], weights_RC: np.ndarray
) -> Iterator[Group]:  # fmt: skip
    """Existence, descriptions and short answers, with `texts` for the answers that were read."""
    questions = answers.questions
    by_type: dict[str, list[int]] = {}
    for index in answers.of(PLAIN):
        by_type.setdefault(questions[index].type, []).append(index)
    polls = [kind for kind in POPE_TYPES if kind in by_type]
    for kind in [*polls, *([ALL] if polls else [])]:
        chosen = by_type[kind] if kind != ALL else [index for name in polls for index in by_type[name]]
        counts = [pope.item_counts(questions[index].truths[0], texts[index]) for index in chosen]
        yield _counted(answers, EXISTENCE, kind.removeprefix("pope_"), pope, counts, chosen, weights_RC)
    names, present = lexicon(answers.asked), answers.asked.present
    described = [
        index for index in by_type.get(DESCRIPTION, ()) if present[questions[index].about] is not None
    ]
    if described:
        counts = [
            chair.item_counts(replies[index].text, set(present[questions[index].about] or ()), names)
            for index in described
        ]
        yield _counted(answers, DESCRIPTIONS, "described", chair, counts, described, weights_RC)
    short = sorted(kind for kind in by_type if kind != DESCRIPTION and kind not in polls)
    for kind in short:
        chosen = by_type[kind]
        counts = [
            READ.item_counts(
                accuracy=rightness(questions[index], texts[index]), invalid=texts[index] == INVALID
            )
            for index in chosen
        ]
        yield _counted(answers, SHORT, kind, READ, counts, chosen, weights_RC)


def _consistency(answers: Answers, weights_RC: np.ndarray) -> Iterator[Group]:
    questions = answers.questions
    for wording in CONSISTENCY:
        chosen = answers.of(wording.probe)
        if not chosen:
            continue
        counts = []
        for index in chosen:
            before, after = answers.read[questions[index].base], answers.read[index]
            agrees = INVALID not in (before, after) and (before == after) != wording.turned
            counts.append(AGREEMENT.item_counts(agreement=agrees, accuracy=answers.right(index)))
        yield _counted(answers, CONSISTENT, wording.probe, AGREEMENT, counts, chosen, weights_RC)


def _prior(answers: Answers, weights_RC: np.ndarray) -> Iterator[Group]:
    questions = answers.questions
    for probe in (GREY, NOISE):
        chosen = [index for index in answers.of(probe) if is_poll(questions[index])]
        if not chosen:
            continue
        said = [index for index in chosen if answers.read[questions[index].base] == YES_NO[0]]
        if said:
            counts = [UNSEEN.item_counts(still_yes=answers.read[index] == YES_NO[0]) for index in said]
            yield _counted(answers, PRIOR, f"{probe} picture", UNSEEN, counts, said, weights_RC)
        # One answer to each wording, whatever picture it is of: the wordings are the sample.
        distinct = list({questions[index].text: index for index in chosen}.values())
        counts = [
            NOTHING.item_counts(yes=answers.read[index] == YES_NO[0], invalid=answers.read[index] == INVALID)
            for index in distinct
        ]
        rng = np.random.default_rng(derive_seed(0, "audit", "wordings"))
        weights_RW = resamples(len(distinct), len(weights_RC), rng)
        yield counted_group(
            PRIOR, f"{probe} picture, wordings", NOTHING, counts, list(range(len(distinct))), weights_RW
        )
    chosen = answers.of(SWAPPED)
    if chosen:
        counts = [
            FOLLOWED.item_counts(
                followed=answers.right(index) == answers.right(questions[index].base) == 1.0,
                same_answer=answers.read[index] == answers.read[questions[index].base],
            )
            for index in chosen
        ]
        yield _counted(answers, PRIOR, "another picture", FOLLOWED, counts, chosen, weights_RC)


def _prompts(answers: Answers, weights_RC: np.ndarray) -> Iterator[Group]:
    """Each prompt on the same questions, the plain one among them, and whether all give the same answer."""
    questions = answers.questions
    by_base: dict[int, list[int]] = {}
    for wording in PROMPTS:
        for index in answers.of(wording.probe):
            by_base.setdefault(questions[index].base, [questions[index].base]).append(index)
    complete = [found for found in by_base.values() if len(found) == 1 + len(PROMPTS)]
    if not complete:
        return
    for place, name in enumerate((PLAIN, *(wording.probe for wording in PROMPTS))):
        chosen = [found[place] for found in complete]
        counts = [
            READ.item_counts(accuracy=answers.right(index), invalid=answers.read[index] == INVALID)
            for index in chosen
        ]
        yield _counted(answers, PROMPT, name, READ, counts, chosen, weights_RC)
    given = [{answers.read[index] for index in found} for found in complete]
    counts = [STEADY.item_counts(agreement=len(texts) == 1 and INVALID not in texts) for texts in given]
    yield _counted(
        answers, PROMPT, "all prompts", STEADY, counts, [found[0] for found in complete], weights_RC
    )


def _calibration(answers: Answers, weights_RC: np.ndarray) -> Iterator[Group]:
    """Yes/no questions, each once, and short answers, as far as the model gave a probability."""
    questions = answers.questions
    given = [
        index for index in answers.of(PLAIN)
        if answers.replies[index].probability is not None and questions[index].type != DESCRIPTION
    ]  # fmt: skip
    once = answers.once(given)
    polled = [index for index in once if is_poll(questions[index])]
    short = [index for index in once if not is_poll(questions[index])]
    for kind, chosen in (("yes/no", polled), (SHORT, short)):
        if chosen:
            counts = [calibration.item_counts(*confidence(answers, index)) for index in chosen]
            yield _counted(answers, CALIBRATION, kind, calibration, counts, chosen, weights_RC)


def confidence(answers: Answers, index: int) -> tuple[float, float]:
    """(probability, rightness) of an answer whose probability is known."""
    probability = answers.replies[index].probability
    assert probability is not None
    return probability, answers.right(index)


def _refusals(answers: Answers, weights_RC: np.ndarray) -> Iterator[Group]:
    once = answers.once(answers.of(PLAIN))
    if once:
        counts = [
            DECLINED.item_counts(refused=reply.refused or refuses(reply.text), cut=reply.cut)
            for reply in (answers.replies[index] for index in once)
        ]
        yield _counted(answers, REFUSALS, "plain questions", DECLINED, counts, once, weights_RC)


def plain_groups(answers: Answers, weights_RC: np.ndarray) -> list[Group]:
    """Existence, descriptions and short answers."""
    return list(_plain(answers, answers.read, answers.replies, weights_RC))


def lexicon(asked: Asked) -> Lexicon:
    """What things are called."""
    return Lexicon(dict(asked.objects))


def is_poll(question: Question) -> bool:
    """Whether it is one of POPE's."""
    return question.type.startswith("pope_")


def _counted(
    answers: Answers, part: str, kind: str, measure: Any, counts: list[dict[str, float]],
    chosen: Sequence[int], weights_RC: np.ndarray,
) -> Group:  # fmt: skip
    return counted_group(part, kind, measure, counts, answers.clusters(chosen), weights_RC)
