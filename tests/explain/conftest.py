"""The tiny model that the tests of the methods explain."""

import pytest

from tests.support import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from sightline.core.params.generation import SPIN_OFF
    from sightline.explain import target
    from sightline.inference import torch_session

    folder = tmp_path_factory.mktemp("settings")
    tiny.write_settings(folder)
    vlm, clip = tiny.models(tiny.tokenizer().size)
    return target.ExplainedModel(torch_session.session(vlm, clip, folder), SPIN_OFF, lambda: vlm, 7)
