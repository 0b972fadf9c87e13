"""One tiny bundle, and the scenes of a small audit."""

import pytest

from sightline.audit import probes, scene_items
from tests.support import exported

bundle = exported.bundle


@pytest.fixture(scope="session")
def small():
    """An audit of six scenes."""
    return probes.audit(scene_items.draw(6, 0))
