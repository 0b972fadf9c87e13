"""Zip archives read in place: members are streamed, nothing is ever unpacked, limits are checked first.

The sources ship zips only; a tar is refused like any other file.
"""

import lzma
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, NotImplementedError)
MAX_COMMENT = 65535
DIRECTORY_ENTRY_BYTES = 512  # generous: 46 fixed bytes, a name and a few extra fields
LOCAL_HEADER_BYTES = 30


class ArchiveError(ValueError):
    """An archive that is damaged, or hostile."""


class Archive:
    """A checked zip. `names` lists its files in the archive's order, without folders, hidden and Mac files.

    Refused as a whole, before any member is read: more than `max_entries` entries, more than `max_bytes`
    declared bytes, overlapping members, absolute paths, `..`, links, devices, encryption, and names that
    differ only in case or Unicode form. Raises ArchiveError.
    """

    def __init__(self, path: Path, max_bytes: int, max_entries: int) -> None:
        self.path = Path(path)
        try:
            _check_directory_size(self.path, max_entries)
            self._zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, struct.error, UnicodeDecodeError, NotImplementedError) as error:
            raise ArchiveError(
                f"{self.path} is no complete zip archive ({error}); put a complete one there, then try again"
            ) from error
        infos = self._zip.infolist()
        if len(infos) > max_entries:
            raise ArchiveError(f"{self.path} has {len(infos)} entries, at most {max_entries} are read")
        total = sum(info.file_size for info in infos)
        if total > max_bytes:
            raise ArchiveError(f"{self.path} would unpack to {total} bytes, at most {max_bytes} are read")
        _check_overlap(self.path, infos)
        for info in infos:
            _check_member(self.path, info)
        _check_collisions(self.path, infos)
        files = [info for info in infos if not info.is_dir() and not _hidden(info.filename)]
        self._infos = {info.filename: info for info in files}
        self.names = list(self._infos)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def read(self, name: str, max_bytes: int) -> bytes:
        """The bytes of one member, its checksum verified."""
        info = self._infos.get(name)
        if info is None:
            raise ArchiveError(f"{self.path} has no file {name!r}; its files begin {self.names[:5]}")
        if info.file_size > max_bytes:
            raise ArchiveError(f"{self.path}: {name} has {info.file_size} bytes, {max_bytes} are allowed")
        try:
            data = self._zip.read(info)
        except (*DAMAGED, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk; bzip2's have no number
                raise
            raise ArchiveError(
                f"{self.path}: {name} is damaged ({error}); put a complete archive there, then try again"
            ) from error
        if len(data) != info.file_size:
            raise ArchiveError(f"{self.path}: {name} has {len(data)} bytes, {info.file_size} were declared")
        return data


def _check_directory_size(path: Path, max_entries: int) -> None:
    """zipfile reads the whole directory at once, so a million entries must be refused before it is opened."""
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, length - MAX_COMMENT - 22 - 20))
        tail = file.read()
        at = tail.rfind(END)
        if at < 0:
            raise zipfile.BadZipFile("its directory is missing: truncated, or another format")
        entries, size = struct.unpack_from("<HI", tail, at + 10)
        locator = at - 20
        if locator >= 0 and tail[locator : locator + 4] == LOCATOR64:
            entries, size = _directory64(file, struct.unpack_from("<Q", tail, locator + 8)[0])
        if size > start + at:
            raise zipfile.BadZipFile(f"its directory of {size} bytes does not fit the file")
    if entries > max_entries or size > max_entries * DIRECTORY_ENTRY_BYTES:
        raise ArchiveError(
            f"{path} lists {entries} entries in {size} bytes, at most {max_entries} entries are read"
        )


def _directory64(file: BinaryIO, offset: int) -> tuple[int, int]:
    file.seek(min(offset, 1 << 62))
    record = file.read(56)
    if record[:4] != END64:
        raise zipfile.BadZipFile("its 64-bit directory is missing")
    return struct.unpack_from("<QQ", record, 32)


def _check_overlap(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ArchiveError(f"{path}: {info.filename!r} overlaps another member: a zip bomb")
        end = info.header_offset + LOCAL_HEADER_BYTES + info.compress_size


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    problem = None
    if name.startswith(("/", "\\")) or name[1:2] == ":" or "\\" in name or ".." in name.split("/"):
        problem = "a path that leaves the archive"
    elif "\0" in info.orig_filename or not name:
        problem = "an invalid name"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "a link or device"
    elif info.flag_bits & 1:
        problem = "encrypted"
    if problem:
        raise ArchiveError(f"{path}: the member {info.orig_filename!r} is {problem}; refused")


def _check_collisions(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    seen: dict[str, str] = {}
    for info in infos:
        key = unicodedata.normalize("NFC", info.filename).casefold()
        if key in seen:
            raise ArchiveError(f"{path}: {info.filename!r} and {seen[key]!r} have the same name; refused")
        seen[key] = info.filename


def _hidden(name: str) -> bool:
    return any(part == "__MACOSX" or part.startswith(".") for part in name.split("/"))
