"""The samples of webdataset shards: uncompressed tars, whose members are read in place and never unpacked."""

import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath

from sightline.data.archives import ArchiveError

MAX_MEMBERS = 10_000_000
Place = tuple[int, int]  # offset and size of a member's bytes


def samples(path: Path) -> Iterator[tuple[str, dict[str, Place]]]:
    """(key, members by extension) of the samples in order: consecutive files whose path up to the first dot
    of the name is the same. Raises ArchiveError for a tar that is damaged, compressed or hostile: links,
    devices, and paths that leave it."""
    for key, group in groupby(_members(path), key=lambda member: member[0]):
        yield key, {extension: place for _, extension, place in group}


def read_place(path: Path, place: Place) -> bytes:
    """The bytes of a member. Raises ArchiveError where the file ends before."""
    with open(path, "rb") as file:
        file.seek(place[0])
        data = file.read(place[1])
    if len(data) != place[1]:
        raise ArchiveError(f"{path} ends after {len(data)} of {place[1]} bytes at {place[0]}; copy it again")
    return data


def _members(path: Path) -> Iterator[tuple[str, str, Place]]:
    count = 0
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header in memory
                count += 1
                if count > MAX_MEMBERS:
                    raise ArchiveError(f"{path} has over {MAX_MEMBERS} members")
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise ArchiveError(
                        f"{path}: the member {member.name!r} has a path that leaves it; refused"
                    )
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise ArchiveError(f"{path}: the member {member.name!r} is a link or device; refused")
                stem, dot, extension = name.name.partition(".")
                if stem and dot:
                    key = (name.parent / stem).as_posix()
                    yield key, extension.lower(), (member.offset_data, member.size)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(
            f"{path} is no complete, uncompressed tar archive ({error}); copy it again"
        ) from error
