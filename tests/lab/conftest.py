"""One tiny bundle and its model, shared by the lab's tests."""

import pytest

from sightline.serve.batch_model import Model
from tests.support import exported

bundle = exported.bundle


@pytest.fixture(scope="session")
def model(bundle):
    return Model.load(bundle, 4)
