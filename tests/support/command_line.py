"""`sightline` as a user runs it: a process of its own that imports this checkout."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH = ("torch", "torchvision", "transformers", "timm")
MAIN = "from sightline.cli.main import main; sys.argv[0] = 'sightline'; main()"


def python(code: str, torch: bool = True) -> list[str]:
    """The command of a Python process that runs `code`, in which PyTorch and what needs it may be missing."""
    hidden = () if torch else TORCH
    return [sys.executable, "-c", f"import sys; sys.modules.update(dict.fromkeys({hidden}))\n{code}"]


def command(*words, torch: bool = True) -> list[str]:
    return [*python(MAIN, torch), *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | more


def run(cwd: Path, *words, torch: bool = True, code: int | None = None) -> subprocess.CompletedProcess:
    """Runs the command in `cwd`: it must never show a traceback, and end with `code` where one is given."""
    done = subprocess.run(
        command(*words, torch=torch), cwd=cwd, env=environment(), capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert code in (None, done.returncode), done.stdout + done.stderr
    return done
