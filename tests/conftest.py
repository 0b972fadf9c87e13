"""Tests import this checkout's package, whatever is installed, and are dealt out to pytest-xdist's workers:
what shares a dear fixture goes to one of them, so that none is built twice."""

import os
import sys
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: no test reaches for the network

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
import sightline  # noqa: E402, F401  (before any test module: it turns the dependencies' telemetry off)

# No example is held to a time: the processors are shared.
hypothesis.settings.register_profile(
    "shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared")

# Tests start hundreds of processes, each of which would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Folders whose conftest.py builds for minutes, once a session.
WHOLE = ("pipeline",)
# Folders with long files, the longest ahead: the short ones fill the workers evenly at the end.
FIRST = (*WHOLE, "stages", "export", "lab")


def folder(nodeid: str) -> str:
    return nodeid.split("/")[1]


def group(nodeid: str) -> str:
    """What one worker runs: a folder of WHOLE, elsewhere a file."""
    return folder(nodeid) if folder(nodeid) in WHOLE else nodeid.split("::")[0]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: [*FIRST, folder(item.nodeid)].index(folder(item.nodeid)))


class Dealing(LoadScopeScheduling):
    # `--dist loadgroup` does nothing with pytest 9.2: pytest-xdist 3.8 writes its groups into a field that
    # pytest no longer reads.
    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # groups start in the order of the tests, not by their number
    return Dealing(config, log)


@pytest.fixture(scope="session")
def tiny_graphs(tmp_path_factory):
    """The folder of the tiny models' fp32 graphs and settings, exported once a run; read-only for tests."""
    from tests.support import tiny

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # the workers' folders lie in one
    with FileLock(shared / "tiny_graphs.lock"):
        if not (shared / "tiny_graphs").exists():
            tiny.export(tmp_path_factory.mktemp("half") / "graphs").rename(shared / "tiny_graphs")
    return shared / "tiny_graphs"


@pytest.fixture(scope="session")
def workers():
    """The processes that decode pictures from elsewhere."""
    from sightline.data.image_workers import ImageWorkers

    with ImageWorkers() as workers:
        yield workers


@pytest.fixture
def ray_cluster(monkeypatch):
    """A Ray cluster of two nodes with a core each, on loopback, which is what RAY_ADDRESS names."""
    from sightline.core import shard_map

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # 127.0.0.1 stays what it is
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "240")
    reason = "Ray is not installed (requirements-ray.in): `engine: ray` was not tried"
    pytest.importorskip("ray", reason=reason)
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 << 20, "node_ip_address": "127.0.0.1"}
    two = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    two.add_node(**node)
    monkeypatch.setenv("RAY_ADDRESS", two.address)
    token = shard_map.ENGINE.set("ray")
    yield two
    shard_map.ENGINE.reset(token)
    two.shutdown()
