"""The errors of a policy's filters, with 95 % intervals, and what the policy costs the users of a bundle.

Every share has two intervals: Wilson's over its texts, as if each were independent, and a bootstrap over the
wordings, whose texts are not.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.runtime import derive_seed
from sightline.data.questions.lexicons.photos import Photos
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.evaluate import predictions, scoring, split_contents
from sightline.evaluate.bootstrap import cluster, interval, resamples, sample
from sightline.evaluate.metrics.ratios import share
from sightline.evaluate.split_contents import Split
from sightline.explain.faithfulness import wilson
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.session import Session
from sightline.serve.safety.personal_data import FINDERS
from sightline.serve.safety.policy import CATEGORIES
from sightline.serve.safety.screen import Screen
from sightline_lab.safety import caption_sets, question_sets
from sightline_lab.safety.question_sets import PARAPHRASES, TEST, Labelled

BOOTSTRAP = 1000
OWN_CAPTIONS = 1000
PHOTO_WORDINGS = ("Is there a {}?", "What color is the {}?", "Where is the {}?", "Is the {} red?")
EVASIONS = {
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "zero-width signs": lambda text: "\u200b".join(text),
    "mixed case": lambda text: "".join(c.upper() if n % 2 else c.lower() for n, c in enumerate(text)),
    "accents": lambda text: "".join(f"{c}\u0301" if c in "aeiou" else c for c in text),
    "Cyrillic letters": lambda text: text.translate(str.maketrans("aeopcxyi", "аеорсхуі")),
    "digits for letters": lambda text: text.translate(str.maketrans("oie", "013")),
    "letters apart": lambda text: "  ".join(" ".join(word) for word in text.split(" ")),
    "a letter left out": lambda text: " ".join(w[:2] + w[3:] if len(w) > 4 else w for w in text.split(" ")),
    "two letters swapped": lambda text: " ".join(
        w[0] + w[2] + w[1] + w[3:] if len(w) > 4 else w for w in text.split(" ")
    ),
}
Echo = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """A text that was judged: its group and wording, and whether the filter acted."""

    group: str
    family: str
    acted: bool


def questions(root: Path, screen: Screen, files: Sequence[str]) -> dict[str, Any]:
    """Caught and wrongly caught questions of files of lab/safety."""
    labelled = question_sets.read(root, files)
    found = {question.text: screen.categories(question.text) for question in labelled}
    cases = {
        name: [
            Case(name, question.family, name in found[question.text])
            for question in labelled if question.category == name
        ]
        for name in CATEGORIES
    }  # fmt: skip
    caught = [
        Case(question.category, question.family, bool(found[question.text]))
        for question in labelled if question.category
    ]  # fmt: skip
    wrong = [
        Case(question.group, question.family, bool(found[question.text]))
        for question in labelled if not question.category
    ]  # fmt: skip
    return {
        "caught": rate(caught),
        "by_category": {
            name: rate([case for case in caught if case.group == name])
            | {"with_its_own_reason": sum(case.acted for case in cases[name])}
            for name in CATEGORIES
        },
        "wrong": {
            group: rate([case for case in wrong if case.group == group]) for group in ("hard", "ordinary")
        },
        "by_part": {
            name: _by_part(labelled, judge)
            for name, judge in {"rules": screen.by_rules, "classifier": screen.by_classifier}.items()
        },
        "wrong_texts": [q.text for q in labelled if not q.category and found[q.text]],
        "missed_texts": [q.text for q in labelled if q.category and not found[q.text]],
    }


def _by_part(labelled: Sequence[Labelled], judge: Callable[[str], list[str]]) -> dict[str, Any]:
    """What one part of the filter alone does to questions, by group."""
    cases = [Case(question.group, question.family, bool(judge(question.text))) for question in labelled]
    groups = dict.fromkeys(case.group for case in cases)
    return {group: rate([case for case in cases if case.group == group]) for group in groups}


def own_questions(screen: Screen, raw: Path, vqa: Path) -> dict[str, Any]:
    """Wrongly caught: questions of the built data, its forms for photos, captions to search with."""
    return {name: rate(cases) for name, cases in _own(screen, raw, vqa).items()}


def all_wrong(root: Path, screen: Screen, raw: Path, vqa: Path) -> dict[str, Any]:
    """The share that is wrongly caught of all ordinary questions of the test, the project's own too."""
    hand = [
        Case(question.group, question.family, bool(screen.categories(question.text)))
        for question in question_sets.read(root, TEST) if not question.category
    ]  # fmt: skip
    own = [case for cases in _own(screen, raw, vqa).values() for case in cases]
    return rate([*hand, *own])


def _own(screen: Screen, raw: Path, vqa: Path) -> dict[str, list[Case]]:
    triples = Triples(vqa, "test")
    scenes = {triples[i]["question"]: triples[i]["type"] for i in range(len(triples))}
    photos = {
        wording.format(form): wording
        for forms in Photos().objects().values() for form in forms
        for wording in PHOTO_WORDINGS
    }  # fmt: skip
    texts = {"questions of the data": scenes, "its questions on photos": photos}
    texts["captions as searches"] = {text: text for text in own_captions(raw)}
    return {
        name: [Case(name, family, bool(screen.categories(text))) for text, family in labelled.items()]
        for name, labelled in texts.items()
    }


def own_captions(raw: Path) -> list[str]:
    """Different captions of `test`."""
    items = Items(raw)
    texts = (caption for line in items.split("test") for caption in items[int(line)]["captions"])
    return list(dict.fromkeys(texts))[:OWN_CAPTIONS]


def evasions(root: Path, screen: Screen) -> dict[str, dict[str, Any]]:
    """Of the test questions that are caught as they are: how many still are when written otherwise; and the
    questions of paraphrases.yaml."""
    labelled = [q for q in question_sets.read(root, TEST) if q.category and screen.categories(q.text)]
    result = {
        name: rate([Case(name, q.family, bool(screen.categories(change(q.text)))) for q in labelled])
        for name, change in EVASIONS.items()
    }
    others = question_sets.read(root, PARAPHRASES)
    return result | {
        "other words": rate([Case("", q.family, bool(screen.categories(q.text))) for q in others])
    }


def captions(root: Path, screen: Screen, raw: Path, seed: int) -> dict[str, Any]:
    """Found and wrongly found personal data and blocked words."""
    words = screen.rules.blocked_words
    labelled = caption_sets.read(root, words, np.random.default_rng(derive_seed(seed, "captions")))
    found: dict[str, set[str]] = {}
    for caption in labelled:
        _, verdict = screen.caption(caption.text)
        found[caption.text] = {reason.removeprefix("personal_data_") for reason in verdict.reasons}
    kinds = [*FINDERS, "blocked_word"]
    own = own_captions(raw)
    wrong = [
        Case(caption.group, caption.family, bool(found[caption.text]))
        for caption in labelled if caption.kind is None
    ]  # fmt: skip
    return {
        "found": {
            kind: rate([Case(kind, c.family, kind in found[c.text]) for c in labelled if c.kind == kind])
            for kind in kinds
        },
        "wrong": {
            "without personal data": rate([case for case in wrong if case.group == "free"]),
            "without blocked words": rate([case for case in wrong if case.group == "clean"]),
            "captions of the data": rate(
                [Case("own", text, bool(screen.caption(text)[1].reasons)) for text in own]
            ),
        },
        "wrong_texts": [c.text for c in labelled if c.kind is None and found[c.text]],
        "missed_wordings": sorted(
            {c.family for c in labelled if c.kind is not None and c.kind not in found[c.text]}
        ),
    }


def bundle(session: Session, screen: Screen, raw: Path, vqa: Path, items: int, batch: int) -> dict[str, Any]:
    """What the policy does to a bundle's answers to its own short test questions, and how right those are."""
    split = split_contents.read(raw, vqa, "test", items)
    assert session.folder is not None
    detector = OODDetector.load(session.folder)
    outside_P = detector.scores(session, split.rgb()) > detector.bound
    answers = predictions.answers(session, split, session.settings.generation, session.spin(), batch)
    short = scoring.short_questions(split)
    right_N = scoring.correctness(split, answers, short)
    verdicts, reasons = [], []
    for index in short:
        outside = bool(outside_P[split.picture_of[index]])
        question = split.triples[index]["question"]
        evidence = {
            "sure": False if outside else answers.sure[index],
            "out_of_domain": outside,
            "question_out_of_domain": session.question_is_unlike(question),
        }
        verdict = screen.question(question).plus(screen.answer(answers.texts[index], evidence)[1])
        verdicts.append(verdict.decision)
        reasons.append(verdict.reasons)
    pictures = [split.picture_of[index] for index in short]
    return _cost(split, pictures, right_N, verdicts, reasons)


def _cost(
    split: Split, pictures: Sequence[int], right_N: np.ndarray, verdicts: Sequence[str],
    reasons: Sequence[Sequence[str]],
) -> dict[str, Any]:  # fmt: skip
    def part(chosen: Iterable[bool]) -> dict[str, Any]:
        flags = list(chosen)
        wrong = [1.0 - float(right) for right in right_N]
        counts = [
            {"n": 1.0, "acted": float(flag), "wrong": miss, "both": miss * flag}
            for flag, miss in zip(flags, wrong, strict=True)
        ]
        weights_RC = resamples(len(split.lines), BOOTSTRAP, np.random.default_rng(derive_seed(0, "cost")))
        sums = sample(cluster(counts, list(pictures), len(split.lines)), weights_RC)
        return {
            "answers": int(sum(flags)),
            "wrong_answers": round(sum(miss * flag for miss, flag in zip(wrong, flags, strict=True)), 1),
            "share": _cell(interval(lambda c: share(c["acted"], c["n"]), sums)),
            "of_wrong": _cell(interval(lambda c: share(c["both"], c["wrong"]), sums)),
        }

    present = sorted({reason for of_one in reasons for reason in of_one})
    return {
        "pictures": len(split.lines), "answers": len(pictures),
        "wrong_answers": round(float(np.sum(1 - right_N)), 1),
        "by_decision": {
            name: part(one == name for one in verdicts) for name in ("marked", "masked", "refused")
        },
        "by_reason": {name: part(name in of_one for of_one in reasons) for name in present},
    }  # fmt: skip


def first_readings(root: Path, before: list[dict[str, Any]], result: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures of each test file at its first reading: those of `before`, and of this one if it is new."""
    digest = hashlib.sha256((root / question_sets.FOLDER / "test.yaml").read_bytes()).hexdigest()[:12]
    if any(one["test"] == digest for one in before):
        return before
    return [*before, {"test": digest, "caught": result["caught"], "all_wrong": result["all_wrong"]}]


def rate(cases: Sequence[Case]) -> dict[str, Any]:
    """The share of cases on which the filter acted, in percent, with both intervals."""
    acted, count = sum(case.acted for case in cases), len(cases)
    low, high = wilson(acted / count, count)
    families = {family: number for number, family in enumerate(dict.fromkeys(case.family for case in cases))}
    counts = [{"n": 1.0, "acted": float(case.acted)} for case in cases]
    weights_RC = resamples(len(families), BOOTSTRAP, np.random.default_rng(derive_seed(0, "wordings")))
    sums = sample(cluster(counts, [families[case.family] for case in cases], len(families)), weights_RC)
    by_wording = _cell(interval(lambda c: share(c["acted"], c["n"]), sums))
    return {
        "n": count, "acted": acted, "value": round(100 * acted / count, 2), "low": round(100 * low, 2),
        "high": round(100 * high, 2), "wordings": len(families), "by_wording": by_wording,
    }  # fmt: skip


def _cell(one: Any) -> dict[str, float]:
    return {"value": round(one.value, 2), "low": round(one.low, 2), "high": round(one.high, 2)}
