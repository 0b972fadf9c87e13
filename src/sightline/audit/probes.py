"""The questions of an audit: those of the data, and the same ones put so that the answer should not change,
should turn round, or can only be guessed.

One yes/no question of each picture is probed: of an object that is there for every other picture, of one that
is not for the rest.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from sightline.audit.answer_reading import YES_NO
from sightline.audit.audit_items import (
    DESCRIPTION,
    PLAIN,
    Asked,
    Audit,
    Items,
    Question,
    grey_picture,
    noise_picture,
)
from sightline.data.questions.question_types import POPE_TYPES
from sightline.evaluate.metrics import vqa_accuracy
from sightline.evaluate.metrics.normalize_answers import normalise

SIDE = 64  # pixels of the pictures without content, where the data has no smaller or larger ones
EXISTENCE = re.compile(
    r"is there (?:an? )?(?P<thing>[^?]+?)(?: in (?:the|this) (?:image|picture|photo))?\?", re.I
)
PROBED = (*reversed(POPE_TYPES), "existence")  # the hardest first
GREY, NOISE, SWAPPED = "grey", "noise", "swapped"  # probes of the language prior
BLIND = GREY  # what the blind row is made of


class Wording(NamedTuple):
    """A probe in other words. `text`: from the question and the thing it asks for; `turned`: the right
    answer is the other one."""

    probe: str
    text: str
    turned: bool = False


CONSISTENCY = (
    Wording("reworded", "Does the picture show {article}{thing}?"),
    Wording("negated", "Is it true that there is no {thing} in the picture?", turned=True),
    Wording("reordered", "{question} Answer no or yes."),
)
PROMPTS = (
    Wording("yes or no", "{question} Answer yes or no."),
    Wording("one word", "{question} Answer with one word."),
    Wording("look carefully", "Look carefully at the picture. {question}"),
)


def audit(items: Items) -> Audit:
    """Everything that is asked about these items."""
    grey, noise = grey_picture(SIDE), noise_picture(SIDE)
    questions = list(_plain(items))
    if not questions:
        raise ValueError("the data gives no question; it needs questions with answers, or captions")
    probed = list(_probed(questions))
    for index in probed:
        questions += _reworded(questions, index)
    for picture in (grey, noise):
        questions += list(_unseen(questions, picture.digest, picture.id))
    questions += list(_swapped(questions, probed))
    asked = Asked(
        items.source, items.truth, tuple(picture.digest for picture in items.pictures), tuple(questions),
        tuple(None if kinds is None else tuple(sorted(kinds)) for kinds in items.present), items.objects,
    )  # fmt: skip
    return Audit(asked, (*items.pictures, grey, noise))


def _plain(items: Items) -> Iterator[Question]:
    number = 0
    for about, (picture, triples) in enumerate(zip(items.pictures, items.triples, strict=True)):
        for triple in triples:
            truths = tuple(vqa_accuracy.truths(triple))
            choices = _choices(triple["type"], truths, items)
            yield Question(
                about, picture.digest, PLAIN, triple["type"], triple["question"], truths, choices, number
            )
            number += 1


def _choices(kind: str, truths: tuple[str, ...], items: Items) -> tuple[str, ...]:
    """The closed list of answers, if there is one."""
    if kind == DESCRIPTION:
        return ()
    if {normalise(truth) for truth in truths} <= set(YES_NO):
        return YES_NO
    return items.choices.get(kind, ())


def _probed(questions: Sequence[Question]) -> Iterator[int]:
    """The question of each picture that is probed, if it has one."""
    of_picture: dict[int, dict[str, int]] = {}
    for kind in PROBED:
        for index, question in enumerate(questions):
            if question.type == kind and EXISTENCE.fullmatch(question.text):
                of_picture.setdefault(question.about, {}).setdefault(_truth(question), index)
    for number, (_, by_truth) in enumerate(sorted(of_picture.items())):
        wanted = YES_NO[number % 2]
        yield by_truth.get(wanted, next(iter(by_truth.values())))


def _truth(question: Question) -> str:
    return normalise(question.truths[0])


def _reworded(questions: Sequence[Question], index: int) -> Iterator[Question]:
    question = questions[index]
    match = EXISTENCE.fullmatch(question.text)
    assert match is not None  # only such a question is probed
    thing = match["thing"]
    with_article = re.match(r"is there (an? )", question.text, re.I)
    article = with_article[1] if with_article else ""
    for wording in (*CONSISTENCY, *PROMPTS):
        text = wording.text.format(question=question.text, thing=thing, article=article)
        truth = YES_NO[1 - YES_NO.index(_truth(question))] if wording.turned else _truth(question)
        yield replace(question, probe=wording.probe, text=text, truths=(truth,), base=index)


def _unseen(questions: Sequence[Question], shown: str, probe: str) -> Iterator[Question]:
    """Every plain question again, with a picture that shows nothing: to the noise those of existence alone,
    and a description."""
    for index, question in enumerate(questions):
        asked = question.type in (*PROBED, DESCRIPTION) or probe == BLIND
        if question.probe == PLAIN and asked:
            yield replace(question, shown=shown, probe=probe, base=index)


def _swapped(questions: Sequence[Question], probed: Sequence[int]) -> Iterator[Question]:
    """The probed question of a picture, put to the next picture for which the data has the other answer."""
    others: dict[tuple[str, str], list[int]] = {}
    for index, question in enumerate(questions):
        if question.probe == PLAIN and question.type in PROBED:
            others.setdefault((question.text, _truth(question)), []).append(index)
    for index in probed:
        question = questions[index]
        turned = YES_NO[1 - YES_NO.index(_truth(question))]
        found = others.get((question.text, turned), ())
        other = next((one for one in found if questions[one].about > question.about), next(iter(found), None))
        if other is not None:
            yield replace(question, shown=questions[other].shown, probe=SWAPPED, truths=(turned,), base=index)
