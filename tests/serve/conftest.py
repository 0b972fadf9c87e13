"""One tiny bundle and a real server over it, shared by this folder's tests."""

import httpx2 as httpx
import pytest

from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from tests.support import exported
from tests.support.serving import deployed, running

bundle, searching_bundle = exported.bundle, exported.searching_bundle


@pytest.fixture(scope="session")
def model(bundle):
    return Model.load(bundle, 4)


@pytest.fixture(scope="session")
def shared(model):
    """A server's address with room for 200 requests."""
    with running(create_app(model, deployed(batch=4, queue=200))) as address:
        yield address


@pytest.fixture
def client(shared):
    with httpx.Client(base_url=shared, timeout=60) as client:
        yield client
