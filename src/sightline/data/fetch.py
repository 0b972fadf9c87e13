"""Downloads, verified by checksum: the complete file or none.

`fetch` resumes after a cut, obeys Retry-After, checks every byte count and the hash, and gives the file its
name only when it is complete. With `public_only` (addresses from a user's table) each host is resolved once,
every address is checked, the connection goes to exactly that address, and redirects pass the same gate.
"""

import errno
import hashlib
import os
import time
from pathlib import Path
from urllib.parse import unquote

from sightline.core import runtime
from sightline.core.folder_lock import folder_lock
from sightline.data.http_connection import FetchError, split_url
from sightline.data.http_transfer import RetryTransfer, Transfer, TransferJob, attempt, forget

PROGRESS = 1 << 16  # bytes that make an attempt count as progress
BACKOFF_S = 0.2
ALGORITHMS = {"md5": 32, "sha256": 64}


def fetch(url: str, target: Path, pin: str | None, limits: Transfer) -> Path:
    """The file behind `url`, downloaded to `target` unless it is there already; returns its path.

    `pin` is "md5:<hex>" or "sha256:<hex>"; without one an existing target is trusted. A file:// URL is
    checked and used where it is. One download at a time runs in a folder, over all processes. Raises
    FetchError.
    """
    if pin is not None:
        _check_pin(url, pin)
    if split_url(url).scheme == "file" and not limits.public_only:
        return _local(url, pin, limits.max_bytes)
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with folder_lock(target.parent):
        if target.exists() and (pin is None or _digest(target, pin) == pin):
            return target
        part = target.with_name(target.name + ".part")
        job = TransferJob(url, part, pin, limits)
        try:
            _download(job)
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise _disk_error(job, error) from error
        job.note.unlink(missing_ok=True)
        os.replace(part, target)
    return target


def cached(url: str, pin: str | None, timeout_s: float, max_bytes: int) -> Path:
    """`fetch` into the download cache, which all experiments share and which lies outside DVC's outs."""
    name = unquote(split_url(url).path).rsplit("/", 1)[-1]
    target = runtime.resume_dir("downloads", hashlib.sha256(url.encode()).hexdigest()) / name
    if split_url(url).scheme != "file" and not target.exists():
        runtime.log(f"downloading {url}")
    path = fetch(url, target, pin, Transfer(timeout_s, max_bytes))
    if pin is None:
        runtime.log(f"data.checksums has no {name}; this one is {_digest(path, 'sha256:')}")
    return path


def _check_pin(url: str, pin: str) -> None:
    algorithm, _, digest = pin.partition(":")
    if len(digest) != ALGORITHMS.get(algorithm) or not set(digest) <= set("0123456789abcdef"):
        raise FetchError("pin", f"{url}: pin {pin!r}, expected md5:<32 hex> or sha256:<64 hex>, lower case")


def _digest(path: Path, pin: str) -> str:
    algorithm = pin.partition(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _local(url: str, pin: str | None, max_bytes: int) -> Path:
    path = Path(unquote(split_url(url).path))
    if not path.is_file():
        raise FetchError("missing", f"{path} ({url}) is not a file")
    if path.stat().st_size > max_bytes:
        raise FetchError("too_large", f"{path} has {path.stat().st_size} bytes, {max_bytes} are allowed")
    if pin is not None and (digest := _digest(path, pin)) != pin:
        raise FetchError(
            "hash", f"{path}: expected {pin}, found {digest}; is it another release, or damaged?"
        )
    return path


def _download(job: TransferJob) -> None:
    failures, restarted = 0, False
    while True:
        before = job.part.stat().st_size if job.part.exists() else 0
        try:
            attempt(job)
        except RetryTransfer as again:
            growth = (job.part.stat().st_size if job.part.exists() else 0) - before
            failures = 1 if growth >= PROGRESS else failures + 1
            if failures >= job.limits.tries:
                message = f"{job.url}: {again}; gave up after {failures} tries"
                raise FetchError(again.reason, message) from again
            time.sleep(BACKOFF_S * 2**failures if again.wait_s is None else again.wait_s)
            continue
        digest = _digest(job.part, job.pin) if job.pin else None
        if digest == job.pin:
            return
        size = job.part.stat().st_size
        forget(job)
        if before == 0 or restarted:
            cure = "check data.checksums and data.base_url"
            raise FetchError("hash", f"{job.url}: expected {job.pin}, found {digest} ({size} bytes); {cure}")
        restarted = True  # what was resumed may stem from another version of the file


def _disk_error(job: TransferJob, error: OSError) -> FetchError:
    """Frees the bytes of a partial file on a full disk, so that other work can go on."""
    size = job.part.stat().st_size if job.part.exists() else 0
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        forget(job)
        return FetchError("disk_full", f"{job.part}: full after {size} bytes ({error}); make room, run again")
    return FetchError("disk", f"{job.part} cannot be written: {error}")
