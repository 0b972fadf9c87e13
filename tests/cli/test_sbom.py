"""The software bill of materials against what is installed, and against its specification."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from sightline.cli import checkout_files, sbom
from sightline.core.artifacts import read_json

ROOT = Path(__file__).resolve().parents[2]
# Not of the lock: what installs it, and the project.
BESIDE = {"pip", "sightline-vlm", "sightline-vlm-lab"}


@pytest.fixture
def checkout(tmp_path):
    """A checkout with the project's lock."""
    for name in ("dvc.yaml", "params.yaml", "pyproject.toml", "requirements.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "src" / "sightline").mkdir(parents=True)
    return tmp_path


def test_it_lists_what_is_installed_and_nothing_else():
    listed = {part["name"]: part["version"] for part in sbom.document(ROOT)["components"]}
    installed = {
        canonicalize_name(one.metadata["Name"]): one.version for one in importlib.metadata.distributions()
    }
    assert listed == {name: version for name, version in installed.items() if name not in BESIDE}


def test_the_file_has_the_form_of_the_specification(checkout):
    command = [sys.executable, "-m", "sightline.cli.sbom"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    path = checkout / sbom.FILE
    first, made = path.read_bytes(), read_json(path)
    assert f"lists {len(made['components'])} packages" in done.stdout
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    references = [part["bom-ref"] for part in [made["metadata"]["component"], *made["components"]]]
    assert len(references) == len(set(references)) > 100
    for part in made["components"]:
        assert part["type"] == "library" and part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", part["name"]) and part["version"]
    subprocess.run(command, cwd=checkout, capture_output=True, check=True)
    assert path.read_bytes() == first


def test_a_line_without_an_exact_version_is_refused(checkout):
    (checkout / "requirements.txt").write_text("numpy>=2\n")
    done = subprocess.run([sys.executable, "-m", "sightline.cli.sbom"], cwd=checkout, capture_output=True)
    assert done.returncode == 1 and b"numpy>=2: expected one exact version" in done.stderr
    assert not (checkout / sbom.FILE).exists()


def test_a_repository_of_ones_own_has_none(tmp_path):
    with pytest.raises(checkout_files.CheckoutError, match="pins Sightline alone"):
        sbom.document(tmp_path)
