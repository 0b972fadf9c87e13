"""The figures of an audit: values computed by hand, and models whose true rates are known, which the
intervals must hold as often as they say."""

import math
from collections import defaultdict

import numpy as np
import pytest

from sightline.audit import audit_figures, audit_report
from sightline.audit.answer_reading import read, refuses
from sightline.audit.answerer import Identity, Reply
from sightline.audit.audit_figures import Answers
from sightline.audit.audit_items import Asked, Items, Picture, Question
from sightline.audit.probes import audit as planned

MODEL = Identity(form="endpoint", name="m", version="")
YES_NO = ("yes", "no")
COLORS = ("red", "blue")


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        ("Yes, there is no doubt.", YES_NO, "yes"),
        ("There is none", YES_NO, "invalid"),
        ("The ball is RED.", COLORS, "red"),
        ("red or blue", COLORS, "invalid"),
        ("green", COLORS, "invalid"),
        ("There are two cubes.", ("0", "1", "2"), "2"),
        ("There are no cubes.", ("0", "1", "2"), "0"),
        ("It is underneath the cube.", ("above", "below"), "below"),
        ("a surfboard", (), "a surfboard"),
    ],
)
def test_answers_are_read_by_the_stated_rule(text, choices, expected):
    assert read(text, choices) == expected


@pytest.mark.parametrize(
    ("text", "declines"),
    [
        ("I'm sorry, I can’t help with that.", True),
        ("I cannot see the image.", True),
        ("As an AI language model, I do not see.", True),
        ("Sorry", True),
        ("No.", False),
        ("I see a sorry dog.", False),
        ("I think so", False),
    ],
)
def test_refusals_are_told_from_answers(text, declines):
    assert refuses(text) is declines


def items(per_picture: list[list[tuple[str, str, str]]], present=None) -> Items:
    """Pictures with (type, question, answer) each."""
    triples = [[{"type": t, "question": q, "answer": a} for t, q, a in one] for one in per_picture]
    pictures = [Picture(f"p{number}", b"picture %d" % number) for number in range(len(triples))]
    kinds = present or [None] * len(triples)
    objects = {"cat": ["cat"], "dog": ["dog", "puppy"], "car": ["car"]}
    return Items("table", pictures, triples, kinds, objects, {"color": COLORS}, "by hand")


def figures(made, answer) -> dict[tuple[str, str, str, str], float]:
    """Every figure of the answers that `answer(question)` gives."""
    replies = {}
    for question in made.asked.questions:
        given = answer(question)
        replies[question.key] = given if isinstance(given, Reply) else Reply(text=given)
    found = audit_report.report(made.asked, replies, MODEL)
    return {(one.part, one.kind, one.row, one.metric): one.value for one in found.figures}


def test_pope_by_hand():
    """3 yes right, 1 missed, 2 invented, 1 right no, 1 invalid about what is absent."""
    asked = [("pope_adversarial", f"Is there a thing{n} here?", "yes" if n < 4 else "no") for n in range(8)]
    said = ["yes", "yes", "yes", "no", "yes", "yes", "no", "perhaps"]
    by_text = {question: text for (_, question, _), text in zip(asked, said, strict=True)}
    found = figures(planned(items([asked[:4], asked[4:]])), lambda q: by_text.get(q.text, "no"))
    of = {key[3]: value for key, value in found.items() if key[:3] == ("existence", "adversarial", "model")}
    tp, fn, fp, tn, invalid = 3, 1, 2, 1, 1
    assert of["accuracy"] == 50.0 and of["yes_rate"] == 62.5 and of["invalid"] == 12.5
    assert of["precision"] == 60.0 and of["recall"] == 75.0 and of["false_positive_rate"] == 50.0
    assert of["f1"] == pytest.approx(100 * 2 * 3 / (2 * 3 + 2 + 1), abs=1e-3)
    n, correct, yes, no = 8, tp + tn, tp + fp, tn + fn
    expected = (correct * n - yes * 4 - no * 4) / math.sqrt(
        (n * n - yes * yes - no * no - invalid * invalid) * (n * n - 4 * 4 - 4 * 4)
    )
    assert of["mcc"] == pytest.approx(100 * expected, abs=1e-3)
    assert found["existence", "adversarial", "majority", "accuracy"] == 50.0


def test_mcc_without_invalid_answers_is_the_usual_one():
    asked = [("pope_random", f"Is there a thing{n} here?", "yes" if n < 4 else "no") for n in range(8)]
    said = ["yes", "yes", "yes", "no", "yes", "no", "no", "no"]  # tp 3, fn 1, fp 1, tn 3
    by_text = {question: text for (_, question, _), text in zip(asked, said, strict=True)}
    found = figures(planned(items([asked[:4], asked[4:]])), lambda q: by_text.get(q.text, "no"))
    assert found["existence", "random", "model", "mcc"] == pytest.approx(
        100 * (9 - 1) / math.sqrt(4**4), abs=1e-3
    )


def test_chair_by_hand():
    """Two pictures: 'a cat and a puppy' with a cat: one of two invented; 'two cars' with car, dog: none."""
    per = [[("describe", "Describe the image in detail.", "x")]] * 2
    made = planned(items(per, [{"cat"}, {"car", "dog"}]))
    shown = made.asked.pictures
    texts = {shown[0]: "A cat and a puppy.", shown[1]: "Two cars."}
    found = figures(made, lambda q: texts.get(q.shown, "a dog"))
    of = {key[2:]: value for key, value in found.items() if key[0] == "descriptions"}
    assert of["model", "chair_i"] == pytest.approx(100 / 3, abs=1e-3) and of["model", "chair_s"] == 50.0
    assert of["model", "recall"] == pytest.approx(200 / 3, abs=1e-3)
    assert of["blind", "chair_i"] == 50.0 and of["blind", "recall"] == pytest.approx(100 / 3, abs=1e-3)


def polls(pictures: int) -> Items:
    """Each picture shows one of two things and is asked about both."""
    kind = "pope_adversarial"
    return items([
        [(kind, "Is there a cat?", YES_NO[n % 2]), (kind, "Is there a dog?", YES_NO[1 - n % 2])]
        for n in range(pictures)
    ])  # fmt: skip


def test_a_model_that_looks_and_reads_is_told_from_one_that_does_not():
    made = planned(polls(8))
    truth = {(q.shown, q.text): q.truths[0] for q in made.asked.questions if q.shown in made.asked.pictures}
    looks = figures(made, lambda q: truth.get((q.shown, q.text), "no"))
    always = figures(made, lambda q: "yes")
    assert looks["existence", "adversarial", "model", "accuracy"] == 100.0
    assert looks["existence", "adversarial", "blind", "accuracy"] == 50.0
    for kind in ("reworded", "negated", "reordered"):
        assert looks["consistency", kind, "model", "agreement"] == 100.0
    assert looks["language prior", "another picture", "model", "followed"] == 100.0
    assert looks["language prior", "grey picture", "model", "still_yes"] == 0.0
    assert looks["prompts", "all prompts", "model", "agreement"] == 100.0
    assert always["consistency", "reworded", "model", "agreement"] == 100.0
    assert always["consistency", "negated", "model", "agreement"] == 0.0  # yes to both
    assert always["language prior", "another picture", "model", "same_answer"] == 100.0
    assert always["language prior", "another picture", "model", "followed"] == 0.0
    assert always["language prior", "grey picture", "model", "still_yes"] == 100.0
    assert always["language prior", "noise picture, wordings", "model", "yes"] == 100.0


def test_invalid_answers_agree_with_nothing():
    found = figures(planned(polls(4)), lambda q: "perhaps")
    assert found["consistency", "reworded", "model", "agreement"] == 0.0
    assert found["prompts", "all prompts", "model", "agreement"] == 0.0
    assert found["existence", "all", "model", "invalid"] == 100.0


def test_one_prompt_that_changes_the_answer_is_seen():
    made = planned(polls(8))
    truth = {(q.shown, q.text): q.truths[0] for q in made.asked.questions}
    turned = lambda q: "no" if q.probe == "one word" else truth[q.shown, q.text]  # noqa: E731
    found = figures(made, turned)
    assert found["prompts", "one word", "model", "accuracy"] == 50.0
    assert found["prompts", "plain", "model", "accuracy"] == 100.0
    assert found["prompts", "all prompts", "model", "agreement"] == 50.0


def test_calibration_only_where_probabilities_are_given():
    made = planned(polls(8))
    sure = figures(made, lambda q: Reply(text="yes", probability=0.75))
    assert sure["calibration", "yes/no", "model", "confidence"] == 75.0
    assert sure["calibration", "yes/no", "model", "accuracy"] == 50.0
    assert sure["calibration", "yes/no", "model", "ece"] == 25.0
    assert sure["calibration", "yes/no", "model", "brier"] == pytest.approx(100 * (0.0625 + 0.5625) / 2)
    silent = figures(made, lambda q: "yes")
    assert not [key for key in silent if key[0] == "calibration"]


def test_the_unfinished_audit_has_no_figures():
    made = planned(polls(4))
    with pytest.raises(ValueError, match="have no answer: the audit is not over"):
        audit_report.report(made.asked, {}, MODEL)


# A model whose answers are drawn: it sees the thing, or not, with these probabilities; on 40 % of the
# pictures it is worse by BAD, so that answers on one picture go together.
HIT, FALSE_ALARM, BAD = 0.9, 0.15, 0.3
NAMED, INVENTED = 0.8, 0.25  # of each present kind; one absent kind, in a description
RIGHT = 0.7  # of a short answer
KEEPS = 0.85  # under another wording
PICTURES, AUDITS = 150, 200
KINDS = tuple(f"kind{n}" for n in range(6))


def drawn(rng: np.random.Generator) -> tuple[Asked, dict[str, Reply]]:
    """An audit of PICTURES pictures drawn anew, with the model's answers."""
    questions, present, replies = [], [], {}

    def asked(
        about: int, probe: str, kind: str, text: str, truth: str, choices, base: int | None, answer: str, p
    ):
        index = len(questions)
        one = Question(
            about, f"d{about}", probe, kind, text, (truth,), choices, index if base is None else base
        )
        questions.append(one)
        replies[one.key] = Reply(text=answer, probability=p)
        return index

    for about in range(PICTURES):
        bad = BAD if rng.random() < 0.4 else 0.0
        kinds = [kind for kind in KINDS[:4] if rng.random() < 0.6]
        present.append(tuple(kinds))
        base = None
        for number in range(int(rng.integers(2, 5))):
            there = bool(rng.random() < 0.5)
            says = rng.random() < ((HIT - bad) if there else (FALSE_ALARM + bad))
            text, truth = f"Is there a {about}-{number}?", YES_NO[not there]
            p = 0.9 if rng.random() < 0.5 else 0.6
            index = asked(about, "plain", "pope_adversarial", text, truth, YES_NO, None, YES_NO[not says], p)
            base = index if base is None else base
        first = replies[questions[base].key].text
        for probe in ("reworded", "reordered"):
            other = first if rng.random() < KEEPS else YES_NO[1 - YES_NO.index(first)]
            truth = questions[base].truths[0]
            asked(about, probe, "pope_adversarial", f"{probe} {about}", truth, YES_NO, base, other, None)
        color = "red" if rng.random() < RIGHT - bad else "blue"
        asked(about, "plain", "color", f"What color is {about}?", "red", COLORS, None, color, None)
        named = [kind for kind in kinds if rng.random() < NAMED] + ["kind5"] * bool(
            rng.random() < INVENTED + bad
        )
        asked(about, "plain", "describe", f"Describe {about}.", "x", (), None, " and ".join(named), None)
    objects = {kind: [kind] for kind in KINDS}
    pictures = tuple(f"d{number}" for number in range(PICTURES))
    return Asked("drawn", "drawn", pictures, tuple(questions), tuple(present), objects), replies


def true_rates() -> dict[tuple[str, str], float]:
    """The figures of endless data: half of the things are there, 40 % of the pictures are bad."""
    hit, alarm = HIT - 0.4 * BAD, FALSE_ALARM + 0.4 * BAD
    tp, fp, fn, tn = hit / 2, alarm / 2, (1 - hit) / 2, (1 - alarm) / 2
    mcc = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    accuracy, invented = tp + tn, INVENTED + 0.4 * BAD
    brier = sum(0.5 * (accuracy * (1 - p) ** 2 + (1 - accuracy) * p**2) for p in (0.9, 0.6))
    return {name: 100 * value for name, value in {
        ("adversarial", "accuracy"): accuracy, ("adversarial", "precision"): tp / (tp + fp),
        ("adversarial", "recall"): hit, ("adversarial", "f1"): 2 * tp / (2 * tp + fp + fn),
        ("adversarial", "yes_rate"): tp + fp, ("adversarial", "false_positive_rate"): alarm,
        ("adversarial", "mcc"): mcc, ("described", "chair_i"): invented / (invented + 4 * 0.6 * NAMED),
        ("described", "chair_s"): invented, ("described", "recall"): NAMED,
        ("color", "accuracy"): RIGHT - 0.4 * BAD, ("reworded", "agreement"): KEEPS,
        ("reordered", "agreement"): KEEPS, ("yes/no", "brier"): brier, ("yes/no", "confidence"): 0.75,
        ("yes/no", "accuracy"): accuracy,
    }.items()}  # fmt: skip


def test_the_intervals_hold_the_true_rates_as_often_as_they_say():
    """With 2,000 audits every figure lies within 93 and 97 %. With AUDITS a share strays by chance: each may
    lie three standard deviations from 95 %, all together within 93 and 97 %."""
    held, truth = coverage(AUDITS, seed=1), true_rates()
    assert held.keys() == truth.keys()
    chance = 3 * math.sqrt(0.95 * 0.05 / AUDITS)
    assert {key: share for key, share in held.items() if abs(share - 0.95) > chance} == {}
    assert 0.93 <= sum(held.values()) / len(held) <= 0.97


def coverage(audits: int, seed: int) -> dict[tuple[str, str], float]:
    """How often each interval holds the true rate."""
    rng, truth = np.random.default_rng(seed), true_rates()
    hits: dict[tuple[str, str], int] = defaultdict(int)
    for _ in range(audits):
        asked, replies = drawn(rng)
        weights_RC = audit_figures.weights(asked)
        for group in audit_figures.groups(Answers(asked, replies), weights_RC):
            for row in audit_report.figure_rows("model", group):
                key = (row["kind"], row["metric"])
                if key in truth:
                    hits[key] += row["low"] <= truth[key] <= row["high"]
    return {key: hits[key] / audits for key in hits}
