"""The lock files belong together, the wheels hold what they should, and what serving needs is small."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LIMIT_MB = 500


def lines(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def names(name):
    return {canonicalize_name(Requirement(line).name) for line in lines(name)}


def test_what_serving_needs_is_a_part_of_the_lock_and_has_no_torch():
    served, lock = (
        {line.split(" ;")[0] for line in lines(f"requirements{part}.txt")} for part in ("-serve", "")
    )
    assert served <= lock
    assert names("requirements-core.in") | names("requirements-serve.in") <= names("requirements-serve.txt")
    assert not names("requirements-serve.txt") & {"torch", "transformers", "dvc", "pandas", "openai"}


def test_every_name_asked_for_once_is_locked_within_its_range():
    locked = [Requirement(line) for line in lines("requirements.txt")]
    pins = {canonicalize_name(one.name): one.specifier for one in locked}
    files = [f"requirements{part}.in" for part in ("", "-core", "-serve")]
    asked = [Requirement(line) for name in files for line in lines(name)]
    for wanted in asked:
        (pin,) = pins[canonicalize_name(wanted.name)]
        assert pin.operator == "==" and wanted.specifier.contains(pin.version), wanted
        assert {bound.operator for bound in wanted.specifier} == {">=", "<"}, wanted
    assert len({wanted.name for wanted in asked}) == len(asked)


def known_to_git(folder: Path) -> list[str]:
    """Files below it that are tracked or new, not ignored."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.splitlines() if (folder / name).is_file()]


def wheel(project: Path, folder: Path) -> tuple[set[str], Message, str]:
    """(files, metadata, entry points) of the wheel of a project, built without a network from a copy."""
    copy = folder / "copy"
    for name in known_to_git(project):
        if name == "metrics/cost.json" or not name.startswith(("tests/", "docs/", "metrics/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project / name, copy / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*build, "--no-build-isolation", "--wheel-dir", folder, copy], check=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
        texts = {name.split("/")[1]: archive.read(name).decode() for name in names if ".dist-info/" in name}
    return set(names), message_from_string(texts["METADATA"]), texts["entry_points.txt"]


def modules(package: str) -> set[str]:
    """Files of a package as a wheel names them."""
    return {f"{package}/{name}" for name in known_to_git(ROOT / "src" / package)}


def test_the_wheel_of_the_product_has_ranges_and_no_lab(tmp_path):
    files, metadata, points = wheel(ROOT, tmp_path)
    assert metadata["Name"] == "sightline-vlm" and not any(name.startswith("sightline_lab") for name in files)
    carried = {name for name in files if name.startswith("sightline/project/")}  # what init copies
    assert "sightline/project/dvc.yaml" in carried
    assert {name for name in files if name.startswith("sightline/")} - carried == modules("sightline")
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    assert {one.name for one in required if not one.marker} >= {"numpy", "onnxruntime", "typer"}
    assert all({bound.operator for bound in one.specifier} == {">=", "<"} for one in required)
    assert set(metadata.get_all("Provides-Extra")) == {"serve", "train", "tune", "services"}
    assert "sightline = sightline.cli.main:main" in points and "lab" not in points


def test_the_lab_is_a_distribution_of_its_own(tmp_path):
    files, metadata, points = wheel(ROOT / "src" / "sightline_lab", tmp_path)
    assert metadata["Name"] == "sightline-vlm-lab" and "lab = sightline_lab.cli.main:app" in points
    expected = modules("sightline_lab") - {"sightline_lab/pyproject.toml"}
    assert {name for name in files if ".dist-info/" not in name} == expected
    (product,) = (Requirement(line) for line in metadata.get_all("Requires-Dist"))
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (product.name, str(product.specifier)) == (root["name"], f"=={root['version']}")
    assert metadata["Version"] == root["version"]


def test_the_extras_are_the_files():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "dynamic"
    ]
    assert project["dependencies"] == {"file": ["requirements-core.in"]}
    assert project["optional-dependencies"] == {
        "serve": {"file": ["requirements-serve.in"]}, "train": {"file": ["requirements.in"]},
        "tune": {"file": ["requirements-tune.in"]}, "services": {"file": ["requirements-services.in"]},
    }  # fmt: skip


@pytest.mark.full
def test_a_fresh_environment_serves_without_torch_and_is_small(tmp_path, bundle):
    """Needs a package index; skipped where there is none."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet"]
    if subprocess.run([*install, "-r", ROOT / "requirements-serve.txt"]).returncode:
        pytest.skip("no package index can be reached")
    subprocess.run([*install, "--no-deps", ROOT], check=True)
    size = sum(path.stat().st_size for path in (tmp_path / "venv").rglob("*") if path.is_file()) / 1e6
    assert size < LIMIT_MB
    command = tmp_path / "venv" / "bin" / "sightline"
    for words in (["ask"], ["search", "a red ball"], ["doctor"], ["serve", "--help"]):
        given = [] if words[-1] == "--help" else ["--bundle", bundle]
        subprocess.run([command, *words, *given], check=True, cwd=tmp_path)
    code = "import sightline.serve.api, sightline.serve.server, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([python, "-c", code], check=True, cwd=tmp_path)
