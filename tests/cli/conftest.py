"""The tiny bundle that this folder's commands read."""

import pytest

from tests.support import serving


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, tiny_graphs):
    """A bundle of tiny random models with ten items; read-only for tests."""
    return serving.build_bundle(tmp_path_factory.mktemp("cli"), tiny_graphs)
