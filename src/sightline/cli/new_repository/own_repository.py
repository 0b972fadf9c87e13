"""A repository of a user's own: git and DVC, the parameters, the stages; no code and no results.

It is made in a hidden folder beside its place and moved there when it is whole.
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sightline.cli.new_repository import own_dag, pinned_version
from sightline.core import packaged_project
from sightline.core.params import edit, loader, params_files, reference, resolved
from sightline.core.templates import render

COPIED = (
    "params.yaml",
    "stages/",
    "data/no_input",
    ".dvcignore",
    ".dvc/config",
    ".dvc/page.html",
    ".dvc/plots/",
)
BASE = "own"  # the packaged profile that a user's extends
IGNORED = ("/plots/analysis", "/plots/failures.html", "/plots/tune", "/plots/profile", "/dvc_plots/",
           "/.resume/", "/.demo/", "/.venv/", "__pycache__/", "*.tmp/")  # fmt: skip


class InitError(ValueError):
    """Nothing was created; the message says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """What the repository is made for. `local`: leaves that only params.yaml may hold (data.path, ...);
    `leaves`: of the profile, dotted; `source` names the data in the README."""

    source: str
    local: Mapping[str, str]
    leaves: Mapping[str, Any]


def check_place(target: Path) -> None:
    """Raise InitError unless `target` is absent or an empty folder."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InitError(f"{target} is no folder; nothing was changed: give a new one")
    held = sorted(path.name for path in target.iterdir()) if target.exists() else []
    if held:
        listed = ", ".join(held[:3]) + (", ..." if len(held) > 3 else "")
        raise InitError(
            f"{target} holds {listed}; nothing was changed: give a folder that does not exist yet, such as "
            f"{target / 'model'}"
        )


def profile_name(target: Path) -> str:
    """The profile's name, after the folder; never that of a packaged one, which it would hide."""
    name = re.sub(r"\W+", "_", target.resolve().name).strip("_").lower() or "mine"
    taken = (packaged_project.folder() / params_files.FOLDER / f"{name}.yaml").exists()
    return f"my_{name}" if taken else name


def create(target: Path, plan: Plan) -> list[str]:
    """Make the repository at `target`; return lines on what came of it. Raises InitError."""
    check_place(target)
    pin = pinned_version.find()
    with _being_made(target) as folder:
        _run(folder, "git", "init", "--quiet")
        _run(folder, sys.executable, "-m", "dvc", "init", "--quiet")
        _fill(folder, profile_name(target), plan, pin)
        said = _first_commit(folder)
    lines = [f"requirements.txt pins {pin.line}"] if pin.line else []
    return [*lines, said, *([f"WARNING: {pin.warning}"] if pin.warning else [])]


@contextmanager
def _being_made(target: Path) -> Iterator[Path]:
    """A folder beside `target` whose content moves there at the end; gone when something fails."""
    parent = target.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.resolve().name}.", dir=parent))
    try:
        yield folder
        target.mkdir(exist_ok=True)
        for path in list(folder.iterdir()):
            path.rename(target / path.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, name: str, plan: Plan, pin: pinned_version.Pin) -> None:
    packaged = packaged_project.folder()
    for file in packaged_project.files(packaged):
        if file.startswith(COPIED):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(packaged / file, folder / file)
    dag = own_dag.rewrite((packaged / "dvc.yaml").read_text(encoding="utf-8"))
    texts = {
        "dvc.yaml": dag,
        f"{params_files.FOLDER}/{name}.yaml": profile(plan.leaves),
        ".gitignore": gitignore(dag),
        "requirements.txt": requirements(pin),
        "README.md": render(
            "sightline.cli.new_repository", "README.md", profile=name, source=plan.source,
            version=pinned_version.version(),
        ),
    }  # fmt: skip
    for file, text in texts.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8", newline="\n")
    edit.fill(folder / "params.yaml", {"profile": name, **plan.local})
    reference.write(folder)
    resolved.write(loader.load_params(folder / "params.yaml"), folder)


def profile(leaves: Mapping[str, Any]) -> str:
    """The profile: what it extends, then its leaves."""
    yaml, out = YAML(), io.StringIO()
    yaml.width = 110
    yaml.dump({"extends": BASE, **loader.nested(dict(leaves))}, out)
    return (
        "# yaml-language-server: $schema=../docs/reference/params.schema.json\n"
        f"# All else is as in the package's profile `{BASE}`: see `sightline params`.\n"
        f"{out.getvalue()}"
    )


def gitignore(dag: str) -> str:
    """What DVC holds, by dvc.yaml, and what commands leave."""
    stages = YAML(typ="safe", pure=True).load(dag)["stages"].values()
    outs = [out for stage in stages for out in stage.get("outs", []) if isinstance(out, str)]
    return "".join(f"{line}\n" for line in (*(f"/{out}" for out in outs), *IGNORED))


def requirements(pin: pinned_version.Pin) -> str:
    """The line that installs this version, or what to write where nothing tells it."""
    head = "# `sightline` on the package index is another project: this line names a commit or a wheel.\n"
    missing = (
        f"# {pin.warning}: write the line yourself, as in\n"
        f"# {pinned_version.NAME} @ git+https://<host>/<repository>@<commit>\n"
    )
    return head + (f"{pin.line}\n" if pin.line else missing)


def _first_commit(folder: Path) -> str:
    """Commit all; return what came of it."""
    _run(folder, "git", "add", "--all")
    command = ["git", "commit", "--quiet", "--message", "Made by `sightline init`"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode == 0:
        return "git has its first commit"
    reasons = [line.strip() for line in done.stderr.splitlines() if line.strip() and "***" not in line]
    return (
        f"git has no commit yet ({reasons[0] if reasons else 'no reason given'}): "
        "set user.name and user.email by git config, then git commit -m Start"
    )


def _run(folder: Path, *command: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        raise InitError(f"{command[0]} is not installed; nothing was created") from None
    if done.returncode:
        message = " ".join((done.stderr or done.stdout).split())[:300]
        shown = " ".join(("dvc", *command[3:]) if command[0] == sys.executable else command)
        raise InitError(f"`{shown}` failed, nothing was created: {message}")
