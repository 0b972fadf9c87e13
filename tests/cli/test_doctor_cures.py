"""Every cure that `sightline doctor` prints is run on the fault it is printed for, in a real DVC
repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.cli import diagnostics
from sightline.core import artifacts, dvc_lock
from sightline.data import shards
from sightline.inference import bundle_settings

ROOT = Path(__file__).resolve().parents[2]
STAGE = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "src")!r})
from sightline.core import artifacts, dvc_lock
dvc_lock.keep(Path())
with artifacts.create(Path("models/vlm"), "vlm", {{"width": 2}}) as folder:
    (folder / "weights.bin").write_bytes(bytes(range(200)))
Path("metrics").mkdir(exist_ok=True)
Path("metrics/evaluate.csv").write_text("accuracy,91.5\\n")
Path("metrics/summary.json").write_text('{{"accuracy": 91.5}}\\n')
"""
GATE = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "src")!r})
from sightline.core import dvc_lock
dvc_lock.keep(Path())
Path("metrics/gate").mkdir()
Path("metrics/gate/gate.json").write_text("[]")
Path("metrics/gate/same.bin").write_bytes(bytes(range(200)))
"""
YAML = """stages:
  train:
    cmd: {python} stage.py
    deps: [stage.py]
    outs:
    - models/vlm
    - metrics/evaluate.csv
    - metrics/summary.json:
        cache: false
  gate:
    cmd: {python} gate.py
    deps: [gate.py, metrics/evaluate.csv]
    outs: [metrics/gate]
"""
WEIGHTS = "models/vlm/weights.bin"


def shell(here: Path, command: str) -> subprocess.CompletedProcess:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                        "PYTHONPATH": str(ROOT / "src"),
                        "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
                        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}  # fmt: skip
    return subprocess.run(["bash", "-c", command], cwd=here, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A checkout in miniature, built and committed."""
    here = tmp_path_factory.mktemp("built") / "checkout"
    here.mkdir()
    (here / "stage.py").write_text(STAGE)
    (here / "gate.py").write_text(GATE)
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


def stored(here: Path, name: str) -> Path:
    """The object of the cache that is the copy of a file."""
    whole = (here / name).read_bytes()
    return next(path for path in (here / ".dvc/cache/files/md5").rglob("*")
                if path.is_file() and path.read_bytes() == whole)  # fmt: skip


def flip_everywhere(here: Path) -> None:
    """The weights in the cache and in the workspace; another output has the same bytes."""
    flip(stored(here, WEIGHTS))
    flip(here / WEIGHTS)


def flip_twice(here: Path) -> None:
    flip(stored(here, "metrics/evaluate.csv"))
    flip(here / "metrics/evaluate.csv")


def lists(here: Path) -> list[Path]:
    return sorted((here / ".dvc/cache/files/md5").rglob("*.dir"))


def lose_cache(here: Path) -> None:
    shutil.rmtree(here / ".dvc/cache/files")
    flip(here / WEIGHTS)


def damaged_list(here: Path) -> None:
    for path in lists(here):
        flip(path)
    flip(here / WEIGHTS)


def fetched(here: Path) -> None:
    """The remote has what the workspace and the cache have lost."""
    done = shell(here, "dvc remote add -q -d store ../store && git commit -qam remote && dvc push -q")
    assert done.returncode == 0, done.stderr
    (here / "stage.py").chmod(0o644)
    flip_everywhere(here)
    flip(here / "metrics/gate/same.bin")


def flip_old_object(here: Path) -> None:
    """An object of an earlier version, which no output of this dvc.lock needs."""
    folder = here / ".dvc/cache/files/md5/00"
    folder.mkdir(exist_ok=True)
    (folder / ("0" * 30)).write_bytes(b"what its name does not say")


def without_git(here: Path) -> None:
    """An empty dvc.lock, and no commit that has another."""
    shutil.rmtree(here / ".git")
    (here / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    (here / "dvc.lock").write_text("")


def cut_at_a_record(here: Path) -> None:
    """It still reads, and has forgotten the last stage."""
    lock = here / "dvc.lock"
    (here / dvc_lock.KEPT).mkdir(parents=True, exist_ok=True)
    shutil.copy(lock, here / dvc_lock.COPY)
    lines = lock.read_text().splitlines(keepends=True)
    last = max(
        number for number, line in enumerate(lines) if line.startswith("  train:") or line == "  gate:\n"
    )
    lock.write_text("".join(lines[:last]))


FAULTS = {
    "one bit of the weights": lambda here: flip(here / WEIGHTS),
    "one bit of a figure": lambda here: flip(here / "metrics/evaluate.csv"),
    "cut weights": lambda here: (here / WEIGHTS).write_bytes(b"short"),
    "an extra file": lambda here: (here / "models/vlm/extra").touch(),
    "no weights": lambda here: (here / WEIGHTS).unlink(),
    "no model": lambda here: shutil.rmtree(here / "models/vlm"),
    "one bit in the cache": lambda here: flip(stored(here, WEIGHTS)),
    "one bit in the cache and in the workspace": flip_everywhere,
    "one bit of a figure in both": flip_twice,
    "one bit of a figure that git keeps": lambda here: flip(here / "metrics/summary.json"),
    "one bit in the list of a folder": lambda here: [flip(path) for path in lists(here)],
    "damaged lists and weights": damaged_list,
    "a damaged object of an earlier version": flip_old_object,
    "a remote has it": fetched,
    "no cache": lose_cache,
    "an empty dvc.lock without git": without_git,
    "an empty dvc.lock": lambda here: (here / "dvc.lock").write_text(""),
    "a cut dvc.lock": lambda here: (here / "dvc.lock").write_text('schema: "2.0"\nsta'),
    "a dvc.lock cut at a record": cut_at_a_record,
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
    kept = "git stash show -p" if name == "dvc.yaml" else "cat .dvc/tmp/sightline/quarantine/1/dvc.lock"
    assert "mine: [" in shell(here, kept).stdout


def test_the_doctor_names_and_restores_and_keeps_what_was_damaged(built, tmp_path):
    here = shutil.copytree(built, tmp_path / "checkout", symlinks=True)
    flip(here / WEIGHTS)
    (here / "models/vlm/extra").touch()
    damaged = (here / WEIGHTS).read_bytes()
    assert not shell(here, "dvc status -q").stderr  # DVC notices nothing of the flipped bit
    found = shell(here, "sightline doctor")
    assert found.returncode == 1
    assert f"WRONG models/vlm: changed: {WEIGHTS}; of no stage: models/vlm/extra" in found.stdout
    assert "cure: sightline doctor --repair models/vlm\n" in found.stdout
    repaired = shell(here, "sightline doctor --repair models/vlm")
    assert repaired.returncode == 0 and "1 files restored" in repaired.stdout, repaired.stderr
    kept = here / ".dvc/tmp/sightline/quarantine/1"
    assert (kept / WEIGHTS).read_bytes() == damaged and (kept / "models/vlm/extra").exists()
    assert "nothing to repair" in shell(here, "sightline doctor --repair").stdout


@pytest.mark.parametrize("absolute", [False, True])
def test_the_cure_that_a_reader_prints_cures(built, tmp_path, monkeypatch, absolute):
    """Readers name the folder as they were given it."""
    here = shutil.copytree(built, tmp_path / "checkout", symlinks=True)
    monkeypatch.chdir(here)
    folder = here / "models/vlm" if absolute else Path("models/vlm")
    flip(here / WEIGHTS)
    with pytest.raises(artifacts.ArtifactError) as raised:
        artifacts.load(folder, "vlm")
    done = shell(here, re.search("`([^`]+)`", str(raised.value))[1])
    assert done.returncode == 0, done.stderr
    artifacts.load(folder, "vlm")


@pytest.mark.parametrize(
    ("fault", "cure"),
    [("no weights", "dvc checkout"), ("no weights", bundle_settings.REBUILD), ("cut weights", shards.CURE)],
    ids=["missing, by DVC", "missing", "changed"],
)
def test_a_file_is_restored_by_what_its_readers_print(built, tmp_path, fault, cure):
    here = shutil.copytree(built, tmp_path / "checkout", symlinks=True)
    FAULTS[fault](here)
    done = shell(here, re.findall("`([^`]+)`", cure)[-1] if "`" in cure else cure)
    assert done.returncode == 0, done.stderr
    assert (here / WEIGHTS).read_bytes() == bytes(range(200))


def test_the_last_copy_is_never_deleted(built, tmp_path):
    """Nothing whole is left: the repair keeps what there is and names the stage."""
    here = shutil.copytree(built, tmp_path / "checkout", symlinks=True)
    flip_twice(here)
    damaged = (here / "metrics/evaluate.csv").read_bytes()
    done = shell(here, "sightline doctor --repair")
    assert done.returncode == 1 and "cure: dvc repro train\n" in done.stdout
    kept = [
        path.read_bytes() for path in (here / ".dvc/tmp/sightline/quarantine").rglob("*") if path.is_file()
    ]
    assert kept == [damaged, damaged]


def test_nothing_is_repaired_while_dvc_runs(built, tmp_path):
    here = shutil.copytree(built, tmp_path / "checkout", symlinks=True)
    flip(here / WEIGHTS)
    damaged = (here / WEIGHTS).read_bytes()
    held = {"write": {str(here / "models"): {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
    (here / ".dvc/tmp/rwlock").write_text(json.dumps(held))
    done = shell(here, "sightline doctor --repair")
    assert done.returncode == 2 and f"process {os.getpid()} runs stages here" in done.stderr
    assert (here / WEIGHTS).read_bytes() == damaged


def test_an_unknown_output_is_refused(built):
    done = shell(built, "sightline doctor --repair models/vml")
    assert done.returncode == 2 and "no output models/vml in dvc.lock; there are " in done.stderr
    done = shell(built, "sightline doctor models/vlm")
    assert done.returncode == 2 and "outputs are named for --repair" in done.stderr


@pytest.mark.parametrize("recorded", ["/etc/hostname", "../outside"])
def test_a_hostile_lock_reaches_nothing_outside(built, tmp_path, recorded):
    here = shutil.copytree(built, tmp_path / "checkout", symlinks=True)
    (tmp_path / "outside").write_text("mine")
    lock = here / "dvc.lock"
    lock.write_text(lock.read_text().replace("path: metrics/summary.json", f"path: {recorded}"))
    shell(here, "sightline doctor --repair")
    assert (tmp_path / "outside").read_text() == "mine" and Path("/etc/hostname").exists()
