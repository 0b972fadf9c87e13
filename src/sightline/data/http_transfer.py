"""One attempt at a download: a request, its redirects, and the bytes appended to a partial file.

Every byte count is checked; nothing here gives a file its final name.
"""

import email.utils
import errno
import http.client
import json
import shutil
import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, urljoin

from sightline.core import progress
from sightline.data.http_connection import FetchError, cut_off_after, open_connection, split_url

CHUNK = 1 << 16
MAX_WAIT_S = 300
MIN_RATE = 1024  # bytes a second over timeout_s; slower is a stalled transfer
REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
MAX_DIGITS = 18  # of a number in a header: longer ones are as good as endless
BUSY = (408, 425, 429, 500, 502, 503, 504)
HEADERS = {"User-Agent": "sightline", "Accept-Encoding": "identity", "Accept": "*/*"}
NO_AI = {"noai", "noimageai"}  # X-Robots-Tag values by which a site forbids this use
QUOTE_SAFE = "/%:@!$&'()*+,;=~-._?"


class RetryTransfer(Exception):
    """This attempt failed in a way the next one may not; `wait_s` is the server's Retry-After."""

    def __init__(self, reason: str, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.wait_s = reason, wait_s


@dataclass(frozen=True)
class Transfer:
    """Limits of a download. Allowed are https, and http to this machine; with `public_only`
    http and https to public addresses and to the networks in `allow`. `tries` in a row may fail without
    progress."""

    timeout_s: float
    max_bytes: int
    public_only: bool = False
    allow: Collection[str] = ()
    tries: int = 5


@dataclass(frozen=True)
class TransferJob:
    """URL, partial file, checksum and limits of a download."""

    url: str
    part: Path
    pin: str | None
    limits: Transfer

    @property
    def note(self) -> Path:
        """Where the validator of the partial file is kept."""
        return self.part.with_name(self.part.name + ".json")


def attempt(job: TransferJob) -> None:
    """One request; appends to the partial file and returns when it is complete.

    Raises RetryTransfer if another attempt may succeed, FetchError if none will, OSError if the disk is at
    fault.
    """
    have, validator = _partial(job)
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and validator:
        headers["If-Range"] = validator
    connection = None
    try:
        connection, response = _request(job, headers)
        with response:
            _receive(job, response, have, validator)
    except FetchError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise FetchError("certificate", f"{job.url}: {error}") from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise RetryTransfer("connection", f"{type(error).__name__}: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES):
            raise
        raise RetryTransfer("connection", f"{type(error).__name__}: {error}") from error
    finally:
        if connection is not None:
            connection.close()


def _partial(job: TransferJob) -> tuple[int, str | None]:
    """Bytes to resume from, and the validator to send; without a validator only a pinned file is resumed."""
    if not job.part.exists():
        return 0, None
    try:
        note = json.loads(job.note.read_text())
        validator = note["validator"] if note["url"] == job.url else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        validator = None
    if validator is None and job.pin is None:
        forget(job)
        return 0, None
    return job.part.stat().st_size, validator


def forget(job: TransferJob) -> None:
    """Removes the partial file and its validator."""
    job.part.unlink(missing_ok=True)
    job.note.unlink(missing_ok=True)


def _request(
    job: TransferJob, headers: dict[str, str]
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Follows redirects, each hop through the same gate; https is never left for http."""
    url = job.url
    for _ in range(MAX_REDIRECTS + 1):
        parts = split_url(url)
        connection = open_connection(parts, job.limits.timeout_s, job.limits.public_only, job.limits.allow)
        try:
            with cut_off_after(connection, job.limits.timeout_s):
                connection.request("GET", _path(parts), headers=HEADERS | headers)
                response = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        if response.status not in REDIRECTS:
            return connection, response
        response.close()
        connection.close()
        url = _next(url, response.headers.get("Location", ""))
        if parts.scheme == "https" and split_url(url).scheme != "https":
            raise FetchError("downgrade", f"{job.url} redirects from https to {url}; refused")
    raise FetchError("redirects", f"{job.url} redirects more than {MAX_REDIRECTS} times")


def _next(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise FetchError("url", f"{url} redirects to {location!r}: {error}") from error


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=QUOTE_SAFE)
    return path + ("?" + quote(parts.query, safe=QUOTE_SAFE) if parts.query else "")


def _receive(job: TransferJob, response: http.client.HTTPResponse, have: int, validator: str | None) -> None:
    headers = response.headers
    if response.status in BUSY:
        raise RetryTransfer("busy", f"HTTP {response.status}", _retry_after(job, headers.get("Retry-After")))
    if response.status == 416 and have:
        if headers.get("Content-Range") == f"bytes */{have}":
            return
        forget(job)
        raise RetryTransfer("range", "the partial file is longer than the file")
    if response.status not in (200, 206):
        raise FetchError("status", f"{job.url}: HTTP {response.status} {response.reason}")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise FetchError("encoding", f"{job.url} is sent compressed ({headers['Content-Encoding']}), unasked")
    if job.limits.public_only and NO_AI & set(
        headers.get("X-Robots-Tag", "").lower().replace(",", " ").split()
    ):
        raise FetchError("robots", f"{job.url}: its site forbids this use (X-Robots-Tag)")
    etag = headers.get("ETag", "")
    new_validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
    if response.status == 206:
        start = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if start != str(have) or (validator and new_validator and new_validator != validator):
            forget(job)
            raise RetryTransfer("range", f"asked for bytes from {have}, got {headers.get('Content-Range')!r}")
    else:
        have = 0
        job.part.unlink(missing_ok=True)  # before the note: its bytes must never get the new validator
    job.note.write_text(json.dumps({"url": job.url, "validator": new_validator}))
    _append(job, response, have)


def _append(job: TransferJob, response: http.client.HTTPResponse, have: int) -> None:
    length = response.headers.get("Content-Length", "")
    expected = have + int(length[:MAX_DIGITS]) if length.isascii() and length.isdigit() else None
    if expected is not None:
        _check_room(job, have, expected)
    mark_s, mark = time.monotonic(), have
    with (
        open(job.part, "ab" if have else "wb") as file,
        progress.step(f"bytes of {job.part.stem}", expected, have) as bar,
    ):
        while data := response.read1(CHUNK):
            have += len(data)
            bar.advance(len(data))
            if have > job.limits.max_bytes:
                file.close()
                forget(job)
                raise FetchError(
                    "too_large", f"{job.url} is longer than the {job.limits.max_bytes} bytes allowed"
                )
            file.write(data)
            if time.monotonic() - mark_s > job.limits.timeout_s:
                if have - mark < MIN_RATE * job.limits.timeout_s:
                    raise RetryTransfer("slow", f"{have - mark} bytes in {job.limits.timeout_s} s")
                mark_s, mark = time.monotonic(), have
    if expected is not None and have < expected:
        raise RetryTransfer("cut", f"the connection ended after {have} of {expected} bytes")


def _check_room(job: TransferJob, have: int, expected: int) -> None:
    if expected > job.limits.max_bytes:
        raise FetchError(
            "too_large", f"{job.url} has {expected} bytes, at most {job.limits.max_bytes} are taken"
        )
    free = shutil.disk_usage(job.part.parent).free
    if expected - have > free:
        raise FetchError(
            "disk_full", f"{job.part} needs {expected - have} bytes, {free} are free; make room and run again"
        )


def _retry_after(job: TransferJob, value: str | None) -> float | None:
    """Seconds to wait, from a number or an HTTP date."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        wait_s = float(value[:MAX_DIGITS])
    else:
        try:
            wait_s = max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, ArithmeticError):  # no date, or one that no clock shows
            return None
    if wait_s > MAX_WAIT_S:
        raise FetchError("busy", f"{job.url}: the server asks to come back in {wait_s:.0f} s; run again then")
    return wait_s
