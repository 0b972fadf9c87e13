"""The section dual_encoder: one source, and nothing set that it decides."""

import pytest

from sightline.core.params.loader import ParamsError, load_params
from tests.support import params_files

GIVEN = {"dual_encoder.checkpoint": "clip"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("params")
    params_files.write(folder)
    return folder


def load(folder, **leaves):
    return load_params(folder / "params.yaml", leaves)


def test_without_one_all_is_as_before(folder):
    params = load(folder)
    assert not params.dual_encoder.given and params.align.tuning == "whole"
    with pytest.raises(ParamsError, match=r"align.tuning: got 'lora', allowed: 'whole', as no dual_encoder"):
        load(folder, **{"align.tuning": "lora"})


def test_a_folder_or_a_commit_of_the_hub(folder):
    assert load(folder, **GIVEN).dual_encoder.given
    named = {"dual_encoder.name": "someone/clip", "dual_encoder.revision": "a" * 40}
    assert load(folder, **named).dual_encoder.given
    with pytest.raises(ParamsError, match=r"dual_encoder.revision: got 'main', allowed: all 40 digits"):
        load(folder, **named | {"dual_encoder.revision": "main"})
    with pytest.raises(ParamsError, match="dual_encoder.checkpoint: got 'clip', allowed: data/no_input"):
        load(folder, **named | GIVEN)


@pytest.mark.parametrize(
    "leaf, value, words",
    [
        ("align.temperature", 0.05, "0.07, as dual_encoder is given"),
        ("align.embed_dim", 256, "512, as dual_encoder is given"),
        ("align.standardize", True, "False, as dual_encoder is given"),
        ("align.loss", "siglip", "'info_nce', as dual_encoder is given"),
        ("align.word_dropout", 0.1, "0.0, as dual_encoder is given"),
        ("text.positions", "rotary", "'learned', as dual_encoder is given"),
        ("vision.pretrained", "hub", "'none', as dual_encoder is given"),
    ],
)
def test_what_it_decides_may_not_be_set(folder, leaf, value, words):
    with pytest.raises(ParamsError) as caught:
        load(folder, **GIVEN | {leaf: value} | ({"vision.revision": "a" * 40} if value == "hub" else {}))
    assert leaf in str(caught.value) and words in str(caught.value)


def test_adapters_train_from_the_first_step(folder):
    lora = GIVEN | {"align.tuning": "lora"}
    assert load(folder, **lora).align.tuning == "lora"
    with pytest.raises(ParamsError, match=r"warmup_phase_share: got 0.2, allowed: 0.0, as align.tuning"):
        load(folder, **lora | {"align.warmup_phase_share": 0.2})
