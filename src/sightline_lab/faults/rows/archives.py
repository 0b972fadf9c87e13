"""Row 23: hostile and damaged zip archives."""

from __future__ import annotations

import io
import stat
import time
import warnings
import zipfile

import numpy as np

from sightline.data.archives import Archive, ArchiveError
from sightline_lab.faults.battery import Broken, Case, Promise

MAX_BYTES, MAX_ENTRIES, MAX_SECONDS = 1_000_000, 200, 2.0
LEAVING = ("../a", "a/../../b", "/etc/passwd", "C:/x", "\\\\host\\x", "a\\..\\b", "..", "a/..")
KINDS = (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
FORMS = (
    "good", "leaving", "link", "collision", "bomb", "entries", "cut", "flipped", "overlapping", "declared",
    "prefixed", "long name",
)  # fmt: skip
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
REFUSED = ("leaving", "link", "collision", "bomb", "entries", "overlapping")


def case(case: Case) -> int:
    """Write one archive and read all of it."""
    rng = case.rng
    form = FORMS[case.index % len(FORMS)]
    members = _members(rng)
    data = _hostile(form, members, rng)
    path = case.scratch / "a.zip"
    path.write_bytes(data)
    began, read = time.process_time(), {}
    try:
        with Archive(path, MAX_BYTES, MAX_ENTRIES) as archive:
            for name in archive.names:
                read[name] = archive.read(name, MAX_BYTES)
    except ArchiveError as error:
        if form == "good":
            raise Broken(f"a good archive was refused: {error}") from error
        if str(path) not in str(error):
            raise Broken(f"{form}: the message does not name the archive: {error}") from error
    else:
        if form in REFUSED:
            raise Broken(f"{form}: all of it was read")
    for name, content in read.items():
        if form in ("good", "cut", "flipped", "declared", "prefixed") and content != members.get(name):
            raise Broken(f"{form}: {name} was read with other bytes than were put in")
        if name.startswith("/") or ".." in name.split("/"):
            raise Broken(f"{form}: the name {name!r} leaves the archive")
    seconds = time.process_time() - began
    if seconds > MAX_SECONDS:
        raise Broken(f"{form}: {seconds:.1f} s of CPU time, at most {MAX_SECONDS} are promised")
    if [left.name for left in case.scratch.iterdir()] != ["a.zip"]:
        raise Broken(f"{form}: files were written: {[left.name for left in case.scratch.iterdir()]}")
    return 1


def _members(rng: np.random.Generator) -> dict[str, bytes]:
    count = int(rng.integers(2, 9))
    return {f"d{n % 3}/{n}.jpg": rng.bytes(int(rng.integers(0, 3000))) for n in range(count)}


def _hostile(form: str, members: dict[str, bytes], rng: np.random.Generator) -> bytes:
    if form == "leaving":
        name = str(rng.choice(LEAVING))
        return _written(members | {"Q" * len(name): b"x"}).replace(b"Q" * len(name), name.encode())
    if form == "link":
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (int(rng.choice(KINDS)) | 0o777) << 16
        return _written(members, [(info, b"/etc/passwd")])
    if form == "collision":
        name = next(iter(members))
        return _written(members, [(zipfile.ZipInfo(name.upper()), b"x")])
    if form == "bomb":
        return _written(members | {"big.bin": bytes(MAX_BYTES + int(rng.integers(1, 10**7)))})
    if form == "entries":
        return _written({f"{n}.txt": b"" for n in range(MAX_ENTRIES + int(rng.integers(1, 2000)))})
    if form == "long name":
        return _written(members | {"n" * int(rng.integers(300, 60_000)): b"x"})
    data = bytearray(_written(members, compression=int(rng.choice(COMPRESSIONS))))
    if form == "cut":
        return bytes(data[: int(rng.integers(0, len(data)))])
    if form == "flipped":
        at = int(rng.integers(0, len(data)))
        data[at] ^= 1 << int(rng.integers(0, 8))
    if form == "overlapping":
        return _quoting(rng)
    if form == "declared":  # a size in the directory that is not that of the member
        at = _found(data, b"PK\x01\x02")[0] + 24
        data[at : at + 4] = int(rng.integers(0, MAX_BYTES)).to_bytes(4, "little")
    if form == "prefixed":
        return rng.bytes(int(rng.integers(1, 500))) + bytes(data)
    return bytes(data)


def _quoting(rng: np.random.Generator) -> bytes:
    """One member holds another as its content, header and all, and the directory names both (Fifield 2019,
    "A better zip bomb")."""
    inner = {"inner.bin": rng.bytes(int(rng.integers(1, 2000)))}
    alone = _written(inner)
    record = alone[: _found(bytearray(alone), b"PK\x01\x02")[0]]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("outer.bin", record)
        file.writestr(zipfile.ZipInfo("inner.bin"), inner["inner.bin"], zipfile.ZIP_DEFLATED)
    data = bytearray(out.getvalue())
    entry = _found(data, b"PK\x01\x02")[1]
    data[entry + 42 : entry + 46] = (30 + len("outer.bin")).to_bytes(4, "little")
    return bytes(data)


def _written(
    members: dict[str, bytes], more: list | None = None, compression: int = zipfile.ZIP_DEFLATED
) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", compression) as file:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, data in [*members.items(), *(more or [])]:
            file.writestr(name, data)
    return out.getvalue()


def _found(data: bytearray, mark: bytes) -> list[int]:
    return [at for at in range(len(data)) if data[at : at + 4] == mark]


PROMISE = Promise(
    23, "Archives", "A hostile archive is refused as a whole, a damaged one gives no wrong bytes; nothing is "
    f"ever unpacked, and reading takes at most {MAX_SECONDS:g} s.", "archives", 240, 12_000, case,
)  # fmt: skip
