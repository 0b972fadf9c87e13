"""The checkout itself: where it is, a copy of it for another profile, and what a rebuild costs."""

import shutil
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

GIB = 2**30
COPIED = ".dvc/copied"  # in a copy: the files that copying brought, one a line


class CheckoutError(ValueError):
    """The checkout is not what a command needs; the message says what to do."""


def root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` that holds dvc.yaml and params.yaml."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").exists() and (folder / "params.yaml").exists():
            return folder
    raise CheckoutError(
        f"no dvc.yaml and params.yaml at or above {here}: run this inside a Sightline checkout"
    )


def copy(source: Path, target: Path, profile: str) -> None:
    """Copies the project's own files (not what it built) to `target` and selects `profile` there.

    The copy is a DVC repository of its own, without git. What an earlier copy built stays, so a second
    run there is a no-op; of the files that an earlier copy brought, those that left the project are removed.
    """
    from sightline.core.params import edit, resolved

    names, listing = project_files(source), target / COPIED
    earlier = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("\n".join(sorted({*earlier, *names})), encoding="utf-8")  # before any of them is there
    for name in names:
        goal = target / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        if name not in ("dvc.lock", "params.yaml", resolved.FILE) or not goal.exists():
            shutil.copyfile(source / name, goal)
    for name in sorted({*earlier} - {*names}):
        (target / name).unlink(missing_ok=True)
    listing.write_text("\n".join(sorted(names)), encoding="utf-8")
    shutil.copyfile(source / "params.yaml", target / "params.yaml")
    edit.fill(target / "params.yaml", {"profile": profile})
    (target / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n", encoding="utf-8")


def check_copy(target: Path) -> None:
    """Raise CheckoutError for a folder that holds files and is no copy of a checkout."""
    if target.exists() and not (
        target.is_dir() and ((target / ".dvc").is_dir() or not any(target.iterdir()))
    ):
        raise CheckoutError(
            f"{target}: expected nothing or an earlier copy of this checkout, found other files; nothing was "
            "changed: move it away"
        )


def project_files(project: Path) -> list[str]:
    """Paths of the files that belong to the project, not of what it built: what git knows or would add, and
    in an unpacked archive what .gitignore does not name. Raises CheckoutError where git refuses to answer."""
    if not any((folder / ".git").exists() for folder in (project, *project.parents)):
        return [path.relative_to(project).as_posix() for path in _unpacked(project, [], set())]
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise CheckoutError(f"{project} is a git checkout, but there is no git here: install git") from error
    if done.returncode:
        raise CheckoutError(f"git does not list the files of {project}: {' '.join(done.stderr.split())}")
    return [name for name in done.stdout.split("\0") if name and (project / name).exists()]


def _unpacked(folder: Path, names: list[str], skipped: set[Path]) -> Iterator[Path]:
    """The files below a folder but for what .gitignore there or above it names: `names` anywhere, `skipped`
    at their path."""
    ignore = folder / ".gitignore"
    patterns = ignore.read_text(encoding="utf-8").split() if ignore.is_file() else []
    names = names + [pattern.strip("/") for pattern in patterns if not pattern.startswith("/")]
    skipped = skipped | {folder / pattern.strip("/") for pattern in patterns if pattern.startswith("/")}
    for path in sorted(folder.iterdir()):
        if path in skipped or any(fnmatch(path.name, name) for name in names):
            continue
        if path.is_dir():
            yield from _unpacked(path, names, skipped)
        else:
            yield path


def is_own(project: Path) -> bool:
    """Whether this is a repository of `sightline init`: the code is not in it but installed."""
    return not (project / "src" / "sightline").is_dir()


def measured(project: Path) -> dict[str, dict]:
    """What a rebuild took, by profile: metrics/cost.json of the project, else the package's."""
    from sightline.core import packaged_project
    from sightline.core.artifacts import read_json

    files = [folder / "metrics" / "cost.json" for folder in (project, packaged_project.folder())]
    return next((read_json(file) for file in files if file.exists()), {})


def estimate(project: Path, profile: str) -> list[str]:
    """Lines with the measured cost of a full rebuild and the free disk here."""
    free, costs = shutil.disk_usage(project).free / GIB, measured(project)
    if profile not in costs:
        return [f"repro: profile {profile}; never measured, so no estimate; {free:.0f} GiB free here"]
    stages = costs[profile]["stages"]
    minutes = sum(stage["wall_seconds"] for stage in stages.values()) / 60
    lines = [
        f"repro: profile {profile}; a full rebuild took {minutes:.0f} min and "
        f"{costs[profile]['disk_gib']:.1f} GiB on 2 cores; {free:.0f} GiB free here",
        "repro: unchanged stages are skipped; interrupt at any time, the same command goes on",
    ]
    if free < costs[profile]["disk_gib"]:
        lines.append("repro: WARNING: that is less disk than a full rebuild needs")
    return lines


def record_cost(project: Path, built: Path) -> None:
    """Merges what the stages measured in the checkout `built` into metrics/cost.json of `project`."""
    from sightline.core.artifacts import read_json, write_json

    target = project / "metrics" / "cost.json"
    costs = read_json(target) if target.exists() else {}
    for measured in sorted((built / ".resume" / "cost").glob("*.json")):
        costs[measured.stem] = {"stages": read_json(measured), "disk_gib": round(built_bytes(built) / GIB, 2)}
    write_json(target, costs)


def built_bytes(project: Path) -> int:
    """Bytes of everything a rebuild leaves: DVC's outs and its cache."""
    folders = [project / name for name in ("data", "models", "metrics", "plots", ".dvc/cache")]
    return sum(
        f.stat().st_size for folder in folders if folder.exists() for f in folder.rglob("*") if f.is_file()
    )
