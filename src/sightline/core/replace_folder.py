"""Replaces an older folder by a finished one, and never replaces what Sightline did not write.

A writer of NAME fills `.NAME.PID-TOKEN.tmp/new` beside it. The file `owner` in that hidden folder identifies
its writer: the leftovers of a killed writer are removed only with it, and of an older artifact only the files
of its manifest.
"""

import errno
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from sightline.core.atomic_io import ArtifactError, sync_folder

MANIFEST = "manifest.json"
OWNER, NEW, OLD = "owner", "new", "old"
# A file of DVC's cache: what a link of `cache.type symlink` leads to.
CACHED = re.compile(r".*/files/md5/[0-9a-f]{2}/[0-9a-f]{30}")


def target(folder: Path) -> Path:
    """The folder itself, or what a link of that name leads to: the link is the user's and stays."""
    folder = Path(folder)
    return Path(os.path.realpath(folder)) if folder.is_symlink() or folder.name in ("", "..") else folder


def check(folder: Path, kind: str) -> None:
    """Raise ArtifactError unless an artifact of this kind may come to `folder`.

    It may where nothing is, an empty folder, or an artifact of the same kind whose files are all named in its
    manifest.
    """
    folder = target(folder)
    if not os.path.lexists(folder):
        return
    cure = folder / kind
    if not folder.is_dir():
        obstacle, cure = "a file", folder.with_name(f"{folder.name}-{kind}")
    elif os.path.ismount(folder):
        obstacle = "a mount point, which cannot be replaced as a whole"
    else:
        obstacle = _foreign(folder, kind)
    if obstacle:
        raise ArtifactError(
            f"{folder}: expected nothing, an empty folder or an artifact of kind {kind!r} to replace, found "
            f"{obstacle}; nothing was changed: choose another folder, for example {cure}"
        )


def begin(folder: Path) -> Path:
    """Return an empty folder on the same disk, to be filled; first remove the leftovers of killed writers."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    (temporary / OWNER).write_text(_owner(), encoding="utf-8")
    (temporary / NEW).mkdir()
    return temporary / NEW


def swap(filling: Path, folder: Path, kind: str) -> None:
    """Put the filled folder in place; a kill between the renames is undone by the next `sweep`."""
    check(folder, kind)  # again: filling it may have taken hours
    try:
        if folder.exists() and any(folder.iterdir()):
            os.replace(folder, filling.parent / OLD)
        os.replace(filling, folder)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise ArtifactError(
            f"{folder}: is a mount point, which cannot be replaced as a whole; nothing was changed: choose a "
            f"folder inside it, for example {folder / kind}"
        ) from error
    sync_folder(folder.parent)


def end(filling: Path, folder: Path) -> None:
    """Remove the temporary folder of `begin`; an older artifact without a successor is put back first."""
    temporary = filling.parent
    old = temporary / OLD
    if old.exists() and not folder.exists():
        os.replace(old, folder)
    shutil.rmtree(temporary / NEW, ignore_errors=True)
    _remove_named(old)
    if not old.exists():
        (temporary / OWNER).unlink(missing_ok=True)
        temporary.rmdir()


def sweep(folder: Path) -> None:
    """End what killed writers of `folder` began, where it is provably theirs and of this machine."""
    left = re.compile(re.escape(f".{folder.name}.") + r"(\d+)-[0-9a-f]{8}\.tmp")
    for path in sorted(folder.parent.iterdir()):
        match = left.fullmatch(path.name)
        if not match or (int(match[1]) != os.getpid() and psutil.pid_exists(int(match[1]))):
            continue
        owner = path / OWNER
        with suppress(OSError):  # a writer was killed before it had written the owner file: nothing was in it
            if list(path.iterdir()) == [owner] and owner.stat().st_size == 0:
                owner.unlink()
            path.rmdir()
        if _proof(path) == _owner():
            end(path / NEW, folder)


def replacing(folder: Path) -> bool:
    """Whether a writer has moved the folder aside and not yet put the new one in its place."""
    folder = target(folder)
    return any(folder.parent.glob(f".{folder.name}.*.tmp/{OLD}"))


def is_cached(path: Path) -> bool:
    """Whether a link leads to a file of a DVC cache, as DVC makes them with `cache.type symlink`."""
    return path.is_file() and CACHED.fullmatch(os.path.realpath(path)) is not None


def _owner() -> str:
    return f"sightline on {socket.gethostname()}\n"


def _proof(temporary: Path) -> str:
    try:
        return (temporary / OWNER).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _foreign(folder: Path, kind: str) -> str:
    """What in a folder is not of an artifact of this kind; empty for such an artifact and an empty folder."""
    if not any(folder.iterdir()):
        return ""
    manifest = _manifest(folder)
    if manifest.get("kind") != kind:
        other = f"a folder with other files ({min(folder.iterdir()).name}, ...)"
        return f"an artifact of kind {manifest['kind']!r}" if manifest else other
    named = _names(manifest)
    parents = {str(parent) for name in named for parent in Path(name).parents}
    for path, is_folder in _contents(folder):
        name = path.relative_to(folder).as_posix()
        if name not in (parents if is_folder else named) or os.path.ismount(path):
            return f"{name} in it, which its manifest does not name"
        if path.is_symlink() and not is_cached(path):
            return f"{name} in it, which is a link"
    return ""


def _remove_named(folder: Path) -> None:
    """Remove the files that the folder's manifest names, the manifest last, and the folders then empty."""
    if not folder.is_dir():
        return
    named = _names(_manifest(folder)) - {MANIFEST}
    contents = list(_contents(folder))
    for path, is_folder in contents:
        if not is_folder and path.relative_to(folder).as_posix() in named:
            path.unlink()
    with suppress(OSError):
        for path in sorted((path for path, is_folder in contents if is_folder), reverse=True):
            path.rmdir()
        if os.listdir(folder) == [MANIFEST]:
            (folder / MANIFEST).unlink()
        folder.rmdir()


def _manifest(folder: Path) -> dict:
    """The manifest of an artifact, empty for a folder that is none."""
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, RecursionError, ValueError):
        return {}
    whole = (
        isinstance(document, dict)
        and document.keys() == {"files", "kind"}
        and isinstance(document["files"], dict)
    )
    return document if whole else {}


def _names(manifest: dict) -> set[str]:
    return {MANIFEST, *manifest.get("files", ())}


def _contents(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Everything below a folder, and whether it is a folder. Links are not followed and count as files."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            yield path, path.is_dir() and not path.is_symlink()
