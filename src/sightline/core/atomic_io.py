"""Files that are whole or absent: atomic writes, hashes, and the error of a full disk."""

import errno
import hashlib
import os
import secrets
import shutil
from pathlib import Path

HEAD = 4096  # bytes that hold the mark of a file written by Sightline
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ArtifactError(ValueError):
    """An artifact, or one of its files, that cannot be written, is damaged, or is of another kind."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically: the old or the new file exists, never a part of one.

    Raises ArtifactError, naming path and bytes, when the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except FileExistsError:
        raise  # a file of that name belongs to another process
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in FULL:
            raise
        raise full(path, len(data)) from error
    sync_folder(path.parent)


def check_output(path: Path, mark: bytes) -> None:
    """Raise ArtifactError unless a file that the user names may be written: nothing is there, an empty file,
    or one written by Sightline, recognised by `mark` in its first bytes."""
    if not os.path.lexists(path):
        return
    if path.is_file():
        with open(path, "rb") as file:
            head = file.read(HEAD)
        if not head or mark in head:
            return
    raise ArtifactError(
        f"{path}: expected nothing or an earlier file of this command to replace, found another; nothing was "
        "changed: choose another name"
    )


def sha256(path: Path, sync: bool = False) -> str:
    """Return the hex sha256 of a file; with `sync` its bytes are on the disk when this returns."""
    with open(path, "rb") as file:
        if sync:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def full(path: Path | str, size: int) -> ArtifactError:
    """Return the error for a full disk: path, bytes wanted, bytes free, cure."""
    near = next(parent for parent in [Path(path), *Path(path).absolute().parents] if parent.exists())
    free = shutil.disk_usage(near).free
    return ArtifactError(
        f"{path}: no space left on the disk: {size} bytes were to be written, {free} bytes are free; "
        "free some space and run the same command again (nothing half-written was left)"
    )
