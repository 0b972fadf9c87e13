"""One run of the whole pipeline on the smoke profile, shared by every test that needs built artifacts."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sightline.cli import checkout_files

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Repo:
    """A git and DVC checkout of the project at `path`."""

    path: Path

    def run(self, *command: str, ok: bool = True, timeout: int = 1800) -> subprocess.CompletedProcess:
        env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org",
        }
        done = subprocess.run(
            command, cwd=self.path, env=env, capture_output=True, text=True, timeout=timeout
        )
        if ok and done.returncode:
            said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}\n{said}")
        return done

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def stages_run(self, output: str) -> list[str]:
        return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


def fresh(path: Path) -> Repo:
    """The project's files under git at `path`, smoke profile, nothing built."""
    checkout_files.copy(ROOT, path, "smoke")
    (path / "dvc.lock").unlink(missing_ok=True)
    (path / ".dvc" / "config.local").unlink()
    repo = Repo(path)
    repo.run("git", "init", "-q", "-b", "main", ".")
    repo.commit("the project")
    return repo


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Repo:
    """The smoke profile, built once by `dvc repro` and committed. Tests read it; none may rebuild it."""
    repo = fresh(tmp_path_factory.mktemp("smoke") / "sightline")
    repo.run("dvc", "repro")
    repo.commit("built")
    return repo


@pytest.fixture
def experiment_repo(smoke, tmp_path) -> Repo:
    """A clone of the built smoke run with its own workspace, sharing its DVC cache."""
    path = tmp_path / "sightline"
    smoke.run("git", "clone", "-q", str(smoke.path), str(path))
    repo = Repo(path)
    repo.run("dvc", "cache", "dir", "--local", str(smoke.path / ".dvc" / "cache"))
    repo.run("dvc", "checkout")
    return repo
