"""A user's repository reads profiles from the package, and hashes its code."""

import subprocess
import sys
from pathlib import Path

import pytest

from sightline.core import packaged_project, source_digest
from sightline.core.params import edit, loader, resolved
from sightline.core.params.checks import ParamsError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def own(tmp_path):
    """params.yaml with one profile, which extends one of the package."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "profiles" / "mine.yaml").write_text("extends: smoke\ntext: {width: 32}\n")
    edit.fill(tmp_path / "params.yaml", {"profile": "mine"})
    return tmp_path


def test_a_profile_extends_one_of_the_package(own):
    params = loader.load_params(own / "params.yaml")
    assert (params.text.width, params.vision.width) == (32, 64)
    assert params.origin["text.width"] == "profiles/mine.yaml"
    assert params.origin["vision.width"] == str(ROOT / "profiles" / "smoke.yaml")
    edit.fill(own / "params.yaml", {"profile": "scenes"})
    assert loader.load_params(own / "params.yaml").text.width == 128


def test_a_profile_beside_params_yaml_hides_the_package_s(own):
    (own / "profiles" / "smoke.yaml").write_text("extends: scenes\nvision: {width: 40}\n")
    assert loader.load_params(own / "params.yaml").vision.width == 40


@pytest.mark.parametrize(("name", "cure"), [("smok", "; did you mean 'smoke'?"), ("../profiles/smoke", "")])
def test_a_profile_that_is_nowhere_is_named_with_the_choices(own, name, cure):
    (own / "profiles" / "mine.yaml").write_text(f"extends: {name}\n")
    with pytest.raises(ParamsError) as caught:
        loader.load_params(own / "params.yaml")
    assert f"mine.yaml:1: extends: got '{name}', allowed: mine, clip, coco, " in str(caught.value)
    assert str(caught.value).endswith(f"study{cure}")


def test_what_params_yaml_fills_is_changed_there(own):
    (own / "profiles" / "mine.yaml").write_text("extends: smoke\nlr: 0.1\n")
    with pytest.raises(ParamsError) as caught:
        loader.load_params(own / "params.yaml")
    message = str(caught.value)
    assert message.endswith("change it there, or to choose it by profile, empty it there")
    edit.fill(own / "params.yaml", {"lr": None})
    assert loader.load_params(own / "params.yaml").lr == 0.1


def test_resolved_yaml_holds_hashes_of_the_code_that_dvc_yaml_tracks(own):
    params = loader.load_params(own / "params.yaml")
    resolved.write(params, own)
    assert "code:" not in (own / resolved.FILE).read_text()
    (own / "dvc.yaml").write_text("params: [{resolved.yaml: [seed, code.spin, code.core]}]\n")
    with pytest.raises(ParamsError, match="run: dvc repro resolve"):
        resolved.check(params, own)
    resolved.write(params, own)
    resolved.check(params, own)
    lines = (own / resolved.FILE).read_text().splitlines()[-3:]
    core, spin = (source_digest.folder_digest(packaged_project.PACKAGE / name) for name in ("core", "spin"))
    assert lines == ["code:", f"  core: {core}", f"  spin: {spin}"]


def test_code_that_the_package_lacks_is_refused(own):
    (own / "dvc.yaml").write_text("params: [{resolved.yaml: [code.gone]}]\n")
    with pytest.raises(ValueError, match="requirements.txt"):
        resolved.write(loader.load_params(own / "params.yaml"), own)


def test_the_digest_of_a_folder_is_of_names_and_contents(tmp_path):
    def digest(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            path = folder / name.replace("__", ".").replace("_in_", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return source_digest.folder_digest(folder)

    plain = digest(a__py="1", templates_in_b__md="2")
    assert digest(a__py="1", templates_in_b__md="2", a__pyc="3") == plain
    changed = digest(a__py="2", templates_in_b__md="2")
    renamed = digest(c__py="1", templates_in_b__md="2")
    assert len({plain, changed, renamed, digest(a__py="1")}) == 4
    (tmp_path / "0" / "__pycache__").mkdir()
    (tmp_path / "0" / "__pycache__" / "a.py").write_text("built")
    assert source_digest.folder_digest(tmp_path / "0") == plain


def test_a_wheel_carries_the_project_s_files(tmp_path):
    """An unpacked wheel, without the checkout, finds them and resolves a profile of theirs."""
    source = tmp_path / "source"
    for name in (*packaged_project.files(ROOT), "pyproject.toml", "setup.py", "README.md"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in [*ROOT.glob("requirements*.in"), *(ROOT / "src" / "sightline").rglob("*")]:
        if path.is_file() and "__pycache__" not in path.parts:
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*command, "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, tmp_path / "unpacked"], check=True)
    carried = tmp_path / "unpacked" / "sightline" / "project"
    assert packaged_project.files(carried) == packaged_project.files(ROOT)
    for name in packaged_project.files(ROOT):
        assert (carried / name).read_bytes() == (ROOT / name).read_bytes(), name
