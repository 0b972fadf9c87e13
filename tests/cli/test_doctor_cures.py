"""Every cure that the doctor prints first is run on the fault it is printed for, in a real DVC repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.cli import diagnostics

ROOT = Path(__file__).resolve().parents[2]
STAGE = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "src")!r})
from sightline.core import artifacts
with artifacts.create(Path("models/vlm"), "vlm", {{"width": 2}}) as folder:
    (folder / "weights.bin").write_bytes(bytes(range(200)))
Path("metrics").mkdir(exist_ok=True)
Path("metrics/evaluate.csv").write_text("accuracy,91.5\\n")
"""
YAML = """stages:
  train:
    cmd: {python} stage.py
    deps: [stage.py]
    outs: [models/vlm, metrics/evaluate.csv]
"""
WEIGHTS = "models/vlm/weights.bin"


def shell(here: Path, command: str) -> subprocess.CompletedProcess:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                        "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
                        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}  # fmt: skip
    return subprocess.run(["bash", "-c", command], cwd=here, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A checkout in miniature, built and committed."""
    here = tmp_path_factory.mktemp("built") / "checkout"
    here.mkdir()
    (here / "stage.py").write_text(STAGE)
    (here / "dvc.yaml").write_text(YAML.format(python=sys.executable))
    (here / "params.yaml").write_text("seed: 7\n")
    (here / "requirements.txt").write_text("")
    made = "git init -q . && dvc init -q && dvc repro -q && git add -A && git commit -qm built"
    done = shell(here, made)
    assert done.returncode == 0, done.stderr
    return here


def flip(path: Path) -> None:
    """Change one bit and keep size, mode and times, so that DVC sees nothing."""
    state, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(state.st_mode)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def flip_object(here: Path) -> None:
    """The same in the cache's copy of the weights and in the workspace."""
    whole = (here / WEIGHTS).read_bytes()
    flip(next(path for path in (here / ".dvc/cache/files/md5").rglob("*")
              if path.is_file() and path.read_bytes() == whole))  # fmt: skip
    flip(here / WEIGHTS)


def lose_cache(here: Path) -> None:
    shutil.rmtree(here / ".dvc/cache/files")
    flip(here / WEIGHTS)


FAULTS = {
    "one bit of the weights": lambda here: flip(here / WEIGHTS),
    "one bit of a figure": lambda here: flip(here / "metrics/evaluate.csv"),
    "cut weights": lambda here: (here / WEIGHTS).write_bytes(b"short"),
    "an extra file": lambda here: (here / "models/vlm/extra").touch(),
    "no weights": lambda here: (here / WEIGHTS).unlink(),
    "no model": lambda here: shutil.rmtree(here / "models/vlm"),
    "one bit in the cache": flip_object,
    "no cache": lose_cache,
    "an empty dvc.lock": lambda here: (here / "dvc.lock").write_text(""),
    "a cut dvc.lock": lambda here: (here / "dvc.lock").write_text('schema: "2.0"\nsta'),
    "a broken dvc.yaml": lambda here: (here / "dvc.yaml").write_text("stages: [\n"),
    "a broken rwlock": lambda here: (here / ".dvc/tmp/rwlock").write_text('{"x": ['),
    "other code": lambda here: (here / "stage.py").write_text(STAGE + "# changed\n"),
}


def wrong(here: Path) -> list[diagnostics.Check]:
    checks = diagnostics.examine(here, None)
    left_out = ("packages", "python", "disk", "models/bundle")  # of this machine, and not built here
    return [check for check in checks if not check.ok and check.name not in left_out]


def test_a_sound_checkout_is_called_sound(built):
    assert wrong(built) == []


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=() if "one bit" in name else pytest.mark.full) for name in FAULTS]
)
def test_the_first_cure_cures(built, tmp_path, fault):
    here = shutil.copytree(built, tmp_path / "checkout", symlinks=True)
    FAULTS[fault](here)
    found = wrong(here)
    assert found
    for check in found:
        shell(here, check.cure)
    assert wrong(here) == [], [check.cure for check in found]
    assert (here / WEIGHTS).read_bytes() == bytes(range(200))


@pytest.mark.full
@pytest.mark.parametrize("name", ["dvc.yaml", "dvc.lock"])
def test_a_cure_keeps_the_users_edits(built, tmp_path, name):
    here = shutil.copytree(built, tmp_path / "checkout", symlinks=True)
    (here / name).write_text("mine: [\n")
    for check in wrong(here):
        shell(here, check.cure)
    assert "mine: [" in shell(here, "git stash show -p").stdout
