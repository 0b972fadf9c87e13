"""Models of the hub: fetched once by their commit from a local server, and what is said where that fails."""

import json
import os
import subprocess
import sys

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from sightline.core import hub_files
from sightline_lab.faults.fault_server import fault_server

COMMIT, HUB = "a" * 40, "/owner/name"
FETCH = """
import sys
from sightline.core import hub_files
try:
    needed = ["config.json", *sys.argv[2:]]
    folder = hub_files.fetch("text", "owner/name", sys.argv[1], needed, hub_files.WEIGHTS)
    print(*sorted(path.name for path in folder.rglob("*") if path.is_file()))
except ValueError as error:
    print(error)
"""


def fetched(home, url: str, *arguments: str, offline: str = "0") -> str:
    """What a process of its own prints, as the library reads its variables once."""
    env = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": offline,
                        "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}  # fmt: skip
    command = [sys.executable, "-c", FETCH, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_model_is_fetched_once_and_then_needs_no_network(tmp_path):
    content = {"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"never"}
    listed = [
        {"type": "file", "path": name, "size": len(data), "oid": 40 * name[0]}
        for name, data in content.items()
    ]
    with fault_server() as server:
        server.headers = {"X-Repo-Commit": COMMIT}
        server.files = {f"{HUB}/resolve/{COMMIT}/{name}": data for name, data in content.items()}
        server.files[f"/api/models{HUB}/tree/{COMMIT}?recursive=true&expand=false"] = json.dumps(
            listed
        ).encode()
        assert fetched(tmp_path, server.url, COMMIT) == "config.json model.safetensors\n"
        server.requests = []
        assert fetched(tmp_path, server.url, COMMIT, offline="1") == "config.json model.safetensors\n"
        assert server.requests == []
        missing = fetched(tmp_path, server.url, COMMIT, "tokenizer.json")
        assert f"text.name: cannot get owner/name at {COMMIT[:10]} from the hub" in missing
        assert "it has no tokenizer.json" in missing and "text.checkpoint" in missing
        wrong = fetched(tmp_path, server.url, "b" * 40)
        assert "Check text.name and text.revision" in wrong and "never fetched" not in wrong


def test_without_a_network_the_cure_is_named(tmp_path, monkeypatch):
    off = fetched(tmp_path, "http://127.0.0.1:9", COMMIT, offline="1")
    assert "never fetched, which needs the network: HF_HUB_OFFLINE is set, unset it" in off

    def unreachable(*_, **__):  # as the library does after half a minute of attempts
        raise LocalEntryNotFoundError("cannot find the snapshot") from ConnectionError("refused")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ValueError, match="needs the network: run this where there is one.*text.checkpoint"):
        hub_files.fetch("text", "owner/name", COMMIT, ["config.json"])
