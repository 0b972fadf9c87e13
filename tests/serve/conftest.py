"""One tiny bundle and a real server over it, shared by this folder's tests."""

import httpx2 as httpx
import numpy as np
import pytest

from sightline import artifacts
from sightline.decode.confidence import NOT_FITTED
from sightline.serve.app import create_app
from sightline.serve.model import Model
from sightline.serve.settings import Limits
from tests.serve.kit import SPIN, running
from tests.support import tiny


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A bundle of tiny random models with ten items; read-only for tests."""
    from sightline.export import graphs
    from sightline.export.session import Session
    from sightline.search import bundle
    from sightline.search.domain import Domain

    here = tmp_path_factory.mktemp("serve")
    with artifacts.create(here / "onnx", "onnx", {"variants": ["fp32"], "shipped": "fp32"}) as folder:
        vlm, clip = tiny.models(tiny.tokenizer().size)
        graphs.export_variants({"fp32": vlm}, clip, folder, opset=20)
        tiny.write_settings(folder)
    exported = artifacts.load(here / "onnx", "onnx")
    session = Session.load_variant(exported.path, "fp32")
    settings = {"spin": SPIN, "confidence": NOT_FITTED | {"sure_above": 0.5}}
    known = Domain(np.zeros(32), np.eye(32), 5.0)
    items = tiny.raw(here / "raw")
    bundle.write(here / "bundle", exported, session, items, "scenes", "test", "Flat", settings, known, 10**6)
    return here / "bundle"


@pytest.fixture(scope="session")
def model(bundle):
    return Model.load(bundle, 4)


@pytest.fixture(scope="session")
def shared(model):
    """A server's address with room for 200 requests."""
    with running(create_app(model, Limits(batch=4, queue=200))) as address:
        yield address


@pytest.fixture
def client(shared):
    with httpx.Client(base_url=shared, timeout=60) as client:
        yield client
