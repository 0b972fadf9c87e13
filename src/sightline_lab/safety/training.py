"""Trains the classifier of questions on all development questions and the frames of lab/safety/frames.yaml.

Logistic regression by AdaGrad, one question at a time in a seeded order, with NumPy's element-wise
operations only: the same questions give the same weights. A text counts one over the root of the number of
texts of its wording, so that wordings with many slots do not outweigh the others. D buckets, K categories,
F features.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from ruamel.yaml import YAML

from sightline.core.params.checks import Settings
from sightline.data.questions.lexicons.photos import Photos
from sightline.serve.safety.phrase_rules import Lexicon
from sightline.serve.safety.policy import CATEGORIES
from sightline.serve.safety.question_classifier import BUCKETS, QuestionClassifier, buckets, quantized
from sightline.serve.safety.text_folding import words
from sightline_lab.safety import question_sets
from sightline_lab.safety.question_sets import DEVELOPMENT, FOLDER, Labelled

SEED, EPOCHS, RATE = 0, 12, 0.5
FRAMES_EACH = 6  # questions that are made of each word of frames.yaml
PHOTO_WORDINGS = ("How many {}s are there?", "Is the {} on the left?", "Is {} next to the {}?")
ORDINARY = "ordinary"  # the key of harmless words beside the categories
Texts = Annotated[tuple[str, ...], Field(strict=False)]


class Framed(Settings):
    """Frames, and the words that fill them by what they then ask."""

    frames: Texts
    words: dict[str, Texts]


class Frames(Settings):
    """frames.yaml: wordings as products of a frame, a subject and a word."""

    subjects: Texts
    framed: dict[str, Framed]
    adjectives: Texts
    things: Texts
    of_things: Texts


def frames(root: Path) -> list[Labelled]:
    """Questions of frames.yaml, drawn by a seeded generator; those without a category are hard ones. Raises
    ValueError for an unknown category."""
    path = root / FOLDER / "frames.yaml"
    document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    found = Frames.model_validate(document, strict=False)
    named = {name for framed in found.framed.values() for name in framed.words}
    if unknown := named - {*CATEGORIES, ORDINARY}:
        expected = ", ".join((*CATEGORIES, ORDINARY))
        raise ValueError(f"{path}: words: {', '.join(sorted(unknown))}: expected {expected}")
    rng = np.random.default_rng(SEED)

    def one(choices: Sequence[str]) -> str:
        return choices[int(rng.integers(len(choices)))]

    labelled = []
    for framed in found.framed.values():
        for name, fillings in framed.words.items():
            category = None if name == ORDINARY else name
            for filling in fillings:
                for frame in rng.permutation(framed.frames)[:FRAMES_EACH]:
                    text = str(frame).format(s=one(found.subjects), x=filling)
                    labelled.append(_question(text, category, filling))
    for adjective in found.adjectives:
        for thing in rng.permutation(found.things)[:FRAMES_EACH]:
            text = one(found.of_things).format(s=one(found.subjects), a=adjective, t=thing)
            labelled.append(_question(text, None, adjective))
    return labelled


def questions(root: Path, files: Sequence[str]) -> list[Labelled]:
    """What the classifier is trained on: files of lab/safety, frames, ordinary questions on photos."""
    return [*question_sets.read(root, files), *frames(root), *photo_questions()]


def out_of_fold(root: Path, lexicon: Lexicon, threshold: float) -> dict[str, float]:
    """Percent of the development questions that the classifier alone takes for one of a category, by group;
    each file is judged by a classifier that was trained without it."""
    counts, acted = Counter[str](), Counter[str]()
    for held_out in DEVELOPMENT:
        labelled = questions(root, [name for name in DEVELOPMENT if name != held_out])
        classifier = train(labelled, lexicon)
        for question in question_sets.read(root, [held_out]):
            likely = classifier.probabilities(lexicon.annotated(words(question.text))).max() > threshold
            counts[question.group] += 1
            acted[question.group] += int(likely)
    return {group: round(100 * acted[group] / count, 2) for group, count in counts.items()}


def photo_questions() -> list[Labelled]:
    """Ordinary questions on the objects of photos, in wordings that are not measured."""
    forms = [form for forms in Photos().objects().values() for form in forms]
    return [
        _question(wording.format(form, form), None, wording)
        for number, form in enumerate(forms) for wording in [PHOTO_WORDINGS[number % len(PHOTO_WORDINGS)]]
    ]  # fmt: skip


def _question(text: str, category: str | None, family: str) -> Labelled:
    return Labelled(text=text, category=category, group="caught" if category else "hard", family=family)


def train(labelled: Sequence[Labelled], lexicon: Lexicon) -> QuestionClassifier:
    """The classifier of labelled questions, read with the lists of the rules."""
    rows = [buckets(lexicon.annotated(words(question.text)).split()) for question in labelled]
    signs_NK = np.array([[1.0 if q.category == name else -1.0 for name in CATEGORIES] for q in labelled])
    family = Counter((question.category, question.family) for question in labelled)
    share_N = [family[question.category, question.family] ** -0.5 for question in labelled]
    weights_DK, bias_K = np.zeros((BUCKETS, len(CATEGORIES))), np.zeros(len(CATEGORIES))
    squares_DK, square_K = np.full_like(weights_DK, 1e-3), np.full_like(bias_K, 1e-3)
    rng = np.random.default_rng(SEED)
    for _ in range(EPOCHS):
        for row in rng.permutation(len(rows)):
            row_F, sign_K = rows[row], signs_NK[row]
            size = len(row_F) ** -0.5
            score_K = weights_DK[row_F].sum(axis=0) * size + bias_K
            slope_K = -share_N[row] * sign_K / (1.0 + np.exp(np.clip(sign_K * score_K, -30.0, 30.0)))
            step_K = slope_K * size  # the same for all features of the text
            squares_DK[row_F] += step_K**2
            weights_DK[row_F] -= RATE * step_K / np.sqrt(squares_DK[row_F])
            square_K += slope_K**2
            bias_K -= RATE * slope_K / np.sqrt(square_K)
    return quantized(weights_DK, bias_K)
