"""generation.json: written and read back, read from bundles of 0.9.0, refused with the key named."""

import pytest

from sightline.core import artifacts
from sightline.core.params.generation import SPIN_OFF, Spin
from sightline.inference import bundle_settings
from sightline.inference.bundle_settings import BundleSettings, greedy_generation
from sightline.inference.confidence import NOT_FITTED, Confidence

# As 0.9.0 wrote it.
FIRST = {
    "confidence": {"sure_above": 0.75, "temperature": 1.5},
    "describe": {"candidates": 8, "strength": 1.0},
    "max_new": 32, "max_question": 24, "max_text": 40,
    "spin": {"alpha": 0.0, "keep": 0.9, "layers": [1, 2], "score": "mass", "top_k": None},
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "generation.json"


def read(path, document):
    artifacts.write_json(path, document)
    return bundle_settings.read(path)


def test_what_is_written_is_read_back(path):
    settings = BundleSettings(
        max_question=8, max_text=9, confidence=Confidence(temperature=2.0, sure_above=None),
        generation=greedy_generation(7).replaced(candidates=3), spin=Spin(top_k=2, alpha=0.5, layers=(0, 3)),
    )  # fmt: skip
    bundle_settings.write(path, settings)
    assert bundle_settings.read(path) == settings
    assert artifacts.read_json(path)["version"] == 1


def test_a_bundle_of_0_9_0_answers_as_it_did(path):
    settings = read(path, FIRST)
    assert settings.confidence == Confidence(temperature=1.5, sure_above=0.75)
    assert (settings.max_question, settings.max_text) == (24, 40)
    assert settings.spin == Spin(keep=0.9, alpha=0.0, layers=(1, 2))
    generation = settings.generation
    assert (generation.max_tokens, generation.candidates, generation.contrast) == (32, 8, 1.0)
    # 0.9.0's constants of drawing candidates, and SPIN only where it was asked for.
    assert (generation.temperature, generation.top_p, generation.spin) == (0.8, 0.9, False)


def test_a_bundle_without_a_way_to_describe_is_greedy(path):
    settings = read(path, {key: value for key, value in FIRST.items() if key != "describe"})
    assert settings.generation.decoding == "greedy" and settings.generation.beams == 1


def test_of_a_variant_nothing_is_fitted_and_spin_is_off():
    settings = BundleSettings(max_question=8, max_text=9, generation=greedy_generation(7))
    assert (settings.confidence, settings.spin) == (NOT_FITTED, SPIN_OFF)


def written(**changed):
    settings = BundleSettings(max_question=8, max_text=9, generation=greedy_generation(7))
    return settings.model_dump(mode="json") | changed


@pytest.mark.parametrize(
    "document, named",
    [
        (FIRST | {"describe": {"candidates": "8", "strength": 1.0}}, r"generation\.candidates: .*got '8'"),
        (FIRST | {"describe": {"candidates": 8}}, r"generation\.contrast: Field required"),
        (
            FIRST | {"describe": {"candidates": 8, "strength": 1.0, "more": 1}},
            r"generation\.describe\.more: ",
        ),
        (FIRST | {"describe": [8]}, r"describe is \[8\], expected"),
        (FIRST | {"confidence": {"bound": 1}}, r"confidence\.temperature: Field required"),
        (FIRST | {"spin": {"keep": 1.0}}, r"spin\.alpha: Field required"),
        ({"max_new": 6, "max_question": 16}, r"max_text: Field required"),
        (written(version=2), "version: .*got 2"),
        (written(max_text=0), "max_text: .*got 0"),
        (written(more=1), "more: .*got 1"),
        ([1, 2], "the file: "),
    ],
)
def test_wrong_settings_are_refused_with_the_key_and_the_cure(path, document, named):
    with pytest.raises(ValueError, match=rf"generation\.json: {named}.*dvc repro export index"):
        read(path, document)
