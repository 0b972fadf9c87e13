"""The checks of `sightline doctor`. Every check reports its finding and, where that is wrong, the cure.

Works in a checkout, and in an environment that holds only the package and a bundle. No torch.
"""

import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.cli import checkout_files, dvc_outs, verification
from sightline.core import artifacts
from sightline.core.params import resolved
from sightline.core.params.loader import load_params

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PYTHON = (3, 11)
FREE_GIB = 1.0
LOCKS = ("requirements.txt", "requirements-serve.txt")
DISTRIBUTION = "sightline-vlm"  # `sightline` on a package index is another project
BUILT = ("data/raw", "data/vqa", "models/text", "models/clip", "models/vlm", "models/blind",
         "models/compressed", "models/onnx", "models/bundle")  # fmt: skip
ALWAYS = ["always changed"]  # what `dvc status` says of a stage that always runs
MAX_LISTED = 5  # packages named before "and so many more"


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    found: str
    cure: str = ""


def examine(start: Path, bundle: Path | None, index: Path | None = None) -> list[Check]:
    """Every check that applies at `start`: of the checkout there, if it is one, of `bundle`, `index`."""
    try:
        here = checkout_files.root(start)
    except checkout_files.CheckoutError:
        here = None
    locked = None if here is None or checkout_files.is_own(here) else here
    checks = [python(), packages(locked), provider()]
    if bundle is None and here is None:
        what = "no checkout here and no --bundle given"
        checks.append(Check("bundle", False, what, "give --bundle PATH, or run this inside a checkout"))
    if bundle is not None:
        checks.append(artifact(bundle, "bundle", f"copy it again from where {bundle} came from"))
    if index is not None:
        checks.append(artifact(index, "index", f"make it again: sightline index TABLE -o {index}"))
    if here is not None:
        found = list(recorded(here))
        lock_is_whole = all(check.name != verification.LockDamage.name for check in found)
        known = {out.path for out in dvc_outs.read(here)} if lock_is_whole else set()
        checks += found
        checks += [
            artifact(here / name, name, "dvc repro")
            for name in BUILT
            if ((here / name).exists() and name not in known)
            or (name == "models/bundle" and bundle is None and not (here / name).exists())
        ]
        checks += [*([dvc(here)] if lock_is_whole else []), *folders(here)]
    return checks


def python() -> Check:
    """Whether this Python is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, PYTHON))
    return Check("python", sys.version_info >= PYTHON, version, f"install Python {wanted} or newer")


def packages(here: Path | None) -> Check:
    """Installed versions against what is required: the pins of a checkout's lock file, else the ranges of the
    installed distribution.

    An environment without torch was made from requirements-serve.txt and is compared with that.
    """
    if here is None and _installed(DISTRIBUTION) is None:
        return Check(
            "packages", False, f"{DISTRIBUTION} is not installed", "make setup in a checkout of Sightline"
        )
    if here is None:
        source, wanted = DISTRIBUTION, required(importlib.metadata.requires(DISTRIBUTION) or [])
    else:
        source = LOCKS[0] if _installed("torch") else LOCKS[1]
        wanted = required((here / source).read_text(encoding="utf-8").splitlines())
    wrong = [one for one in wanted if not _is_met(one)]
    if not wrong:
        return Check("packages", True, f"{len(wanted)} as {source} requires them")
    listed = [f"{one.name} {_installed(one.name) or 'missing'} (required {one.specifier})" for one in wrong]
    more = f", and {len(wrong) - MAX_LISTED} more" if len(wrong) > MAX_LISTED else ""
    arguments = [f'"{one.name}{one.specifier}"' for one in wrong] if here is None else [f"-r {here / source}"]
    return Check(
        "packages",
        False,
        ", ".join(listed[:MAX_LISTED]) + more,
        f"python -m pip install {' '.join(arguments)}",
    )


def provider() -> Check:
    """What computes the graphs; wrong only where something was asked for that is not there."""
    from sightline.inference import execution_provider

    try:
        found = execution_provider.chosen()
    except execution_provider.ProviderError as error:
        return Check("provider", False, str(error), f"unset {execution_provider.VARIABLE}")
    return Check("provider", True, execution_provider.described(found))


def artifact(folder: Path, name: str, cure: str) -> Check:
    """Whether a built folder is whole: every file's hash against its manifest."""
    if not folder.exists():
        return Check(name, False, f"{folder} does not exist", cure)
    try:
        manifest = artifacts.read_json(folder / artifacts.MANIFEST)
        kind = manifest.get("kind", "") if isinstance(manifest, dict) else ""
        built = artifacts.load(folder, kind, everything=True)
        size = sum(path.stat().st_size for path in built.path.rglob("*") if path.is_file())
        return Check(name, True, f"{len(manifest['files'])} files, {size / 2**20:.1f} MiB, all as recorded")
    except (OSError, ValueError) as error:
        return Check(name, False, str(error), cure)


def recorded(here: Path) -> Iterator[Check]:
    """Whether dvc.lock, what is built and DVC's cache are whole; DVC reports absent outputs."""
    damaged = verification.examine(here)
    for damage in damaged:
        yield Check(damage.name, False, damage.found, damage.cure)
    if not damaged:
        yield Check("built files", True, verification.counted(here))


def dvc(here: Path) -> Check:
    """Whether what is built is what the code and the parameters of this checkout would build."""
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if _installed("dvc") is None:
        return Check("dvc", True, "not installed: nothing is rebuilt here")
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)
        changed = sorted(stage for stage, why in found.items() if why != ALWAYS)
    except ValueError:
        message = " ".join(done.stderr.split())[:300] or "no message"
        return Check("dvc", False, f"dvc status failed: {message}", _dvc_cure(here, message))
    if not changed and ALWAYS in found.values() and not _resolved(here):
        changed = ["resolve"]
    if changed:
        return Check("dvc", False, f"out of date: {', '.join(changed)}", "dvc repro")
    return Check("dvc", True, "every stage is up to date")


def _resolved(here: Path) -> bool:
    """Whether resolved.yaml is what the stage `resolve` would write; where the code is installed, DVC runs
    that stage always and cannot tell."""
    try:
        resolved.check(load_params(here / "params.yaml"), here)
    except ValueError:
        return False
    return True


def _dvc_cure(here: Path, message: str) -> str:
    """What mends a failure of `dvc status`, and keeps every edit of the user's."""
    if "acquire lock" in message or "rwlock" in message.lower():
        return "rm -f .dvc/tmp/lock .dvc/tmp/rwlock  # once no other dvc runs in this checkout"
    for name in ("dvc.yaml", "params.yaml"):
        if name in message and (here / ".git").exists():
            return f"git stash push -- {name}"
    return "dvc status -v, and mend what it names"


def folders(here: Path) -> Iterator[Check]:
    """Whether what the commands write to can be written, and has room."""
    for name in ("", ".dvc", "data", "models", "metrics", "plots"):
        folder = here / name
        if folder.is_dir():
            try:
                with tempfile.NamedTemporaryFile(dir=folder):
                    pass
            except OSError as error:
                quoted = shlex.quote(str(folder))
                yield Check(f"folder {folder}", False, f"cannot be written ({error.strerror})",
                            f"chmod -R u+rwX {quoted} || sudo chown -R $USER {quoted}")  # fmt: skip
    free = shutil.disk_usage(here).free / 2**30
    yield Check("disk", free >= FREE_GIB, f"{free:.1f} GiB free", "dvc gc --all-commits --all-experiments")


def required(lines: list[str]) -> list["Requirement"]:
    """The requirements that hold for this Python on this platform, without extras."""
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]


def _is_met(required: "Requirement") -> bool:
    version = _installed(required.name)
    return version is not None and required.specifier.contains(version, prereleases=True)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
