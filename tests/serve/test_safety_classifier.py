"""The classifier of questions that joins the rules: what it adds, how it is switched off, damaged weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core import artifacts
from sightline.core.params.checks import ParamsError
from sightline.serve.safety import policy
from sightline.serve.safety.policy import CATEGORIES
from sightline.serve.safety.question_classifier import BUCKETS, WINDOW, QuestionClassifier, buckets, quantized
from sightline.serve.safety.screen import Screen
from sightline.serve.safety.text_folding import words

ROOT = Path(__file__).resolve().parents[2]
BEYOND_THE_RULES = "Does the lady pray?"


def written(folder, **classifier):
    """The path of a policy: the default with another classifier."""
    shutil.copytree(ROOT / "deploy" / "safety", folder / "safety")
    path = folder / "safety" / "mine.yaml"
    path.write_text(json.dumps({"extends": "default", "classifier": classifier}))
    return str(path)


@pytest.fixture(scope="module")
def screen():
    return Screen(str(ROOT / "deploy" / "safety" / "default.yaml"))


def test_it_adds_to_the_rules_and_threshold_1_leaves_the_rules_only(screen, tmp_path):
    rules_only = Screen(written(tmp_path, threshold=1))
    assert screen.by_rules(BEYOND_THE_RULES) == [] and screen.categories(BEYOND_THE_RULES) == ["religion"]
    assert screen.question(BEYOND_THE_RULES).body() == {
        "decision": "refused", "reasons": ["question_religion"],
    }  # fmt: skip
    assert rules_only.classifier is None and rules_only.categories(BEYOND_THE_RULES) == []
    assert rules_only.categories("What race is the man?") == ["race"]
    assert screen.categories("What color is the ball?") == []


def test_a_higher_threshold_catches_less(screen, tmp_path):
    likely = screen.classifier.probabilities(screen.rules.lexicon.annotated(words(BEYOND_THE_RULES))).max()
    above, below = ((likely + 1) / 2, likely / 2)
    assert Screen(written(tmp_path / "a", threshold=float(above))).by_classifier(BEYOND_THE_RULES) == []
    assert "religion" in Screen(written(tmp_path / "b", threshold=float(below))).by_classifier(
        BEYOND_THE_RULES
    )


@pytest.mark.parametrize("before", [0, WINDOW, 5 * WINDOW + 10])
def test_every_part_of_a_long_text_is_judged(screen, before):
    filler = "the ball is red and "
    text = filler * (before // 5) + f"{BEYOND_THE_RULES} " * (2 * WINDOW // 4) + filler * 40
    assert screen.by_classifier(text) == ["religion"]
    assert screen.by_classifier(filler * 100) == []


@given(st.text(max_size=300))
def test_any_text_has_probabilities(text):
    screen = Screen(str(ROOT / "deploy" / "safety" / "default.yaml"))
    likely = screen.classifier.probabilities(screen.rules.lexicon.annotated(words(text)))
    assert likely.shape == (len(CATEGORIES),) and ((likely >= 0) & (likely <= 1)).all()


def test_a_weight_raises_the_probability_of_its_category_only():
    weights_DK = np.zeros((BUCKETS, 2))
    weights_DK[buckets(["red"]), 1] = 3.0
    classifier = quantized(weights_DK, np.array([-3.0, -3.0]))
    assert classifier.probabilities("blue")[1] < 0.5 < classifier.probabilities("red")[1]
    assert classifier.probabilities("red")[0] == pytest.approx(1 / (1 + np.e**3), abs=1e-6)


def test_weights_that_are_not_there_are_told_with_the_line(tmp_path):
    path = written(tmp_path, weights="none.safetensors")
    with pytest.raises(ParamsError, match=r"mine.yaml:1: classifier.weights: got 'none.safetensors'"):
        policy.load(path)


@pytest.mark.parametrize("tensors", [None, {}, {"weights": np.zeros((4, 7), np.int8)}])
def test_damaged_weights_are_refused(tmp_path, tensors):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"nothing") if tensors is None else artifacts.save_weights(path, tensors)
    with pytest.raises(ValueError, match="w.safetensors: expected"):
        QuestionClassifier.load(path, len(CATEGORIES))
