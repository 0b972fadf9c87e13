"""Archives: read in place, refused as a whole when hostile or damaged."""

import random
import stat
import struct
import tarfile
import time
import warnings
import zipfile

import pytest

from sightline.data.archives import Archive, ArchiveError


def write(path, members, **options):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as file:
        warnings.simplefilter("ignore")  # duplicate names are what some tests want
        for name, data in members:
            file.writestr(name, data)
    return path


def open_archive(path, max_bytes=10**6, max_entries=100):
    return Archive(path, max_bytes, max_entries)


def test_names_and_bytes(tmp_path):
    path = write(tmp_path / "a.zip", [
        ("d/", b""), ("d/1.jpg", b"one"), ("__MACOSX/d/._1.jpg", b"x"), (".DS_Store", b"x"),
        ("d/.hidden", b"x"), ("d/2.txt", b"two" * 1000),
    ])  # fmt: skip
    with open_archive(path) as archive:
        assert archive.names == ["d/1.jpg", "d/2.txt"]
        assert archive.read("d/1.jpg", 10) == b"one" and archive.read("d/2.txt", 3000) == b"two" * 1000
        with pytest.raises(ArchiveError, match="d/2.txt has 3000 bytes, 2999 are allowed"):
            archive.read("d/2.txt", 2999)
        with pytest.raises(ArchiveError, match="has no file 'nothing'"):
            archive.read("nothing", 10)


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/etc/passwd", "C:/x", "\\\\host\\x", "a\\..\\b", "..", "a\0b"]
)
def test_paths_that_leave_the_archive(tmp_path, name):
    path = write(tmp_path / "a.zip", [("good", b"x"), ("Q" * len(name), b"x")])
    path.write_bytes(path.read_bytes().replace(b"Q" * len(name), name.encode()))
    with pytest.raises(ArchiveError, match="refused"):
        open_archive(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices(tmp_path, kind):
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with pytest.raises(ArchiveError, match="a link or device"):
        open_archive(write(tmp_path / "a.zip", [(info, b"/etc/passwd")]))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_members_of_rarer_compressions_are_refused(tmp_path, compression):
    content = random.Random(1).randbytes(500)
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", compression) as file:
        file.writestr("a", content)
    whole = (tmp_path / "whole.zip").read_bytes()
    refused = 0
    for at in range(30, 31 + len(content) // 2):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        (tmp_path / "a.zip").write_bytes(damaged)
        try:
            with open_archive(tmp_path / "a.zip") as archive:
                assert archive.read("a", 1000) == content
        except ArchiveError:
            refused += 1
    assert refused > 200


def test_names_that_collide(tmp_path):
    for first, second in [("a.jpg", "a.jpg"), ("a.jpg", "A.JPG"), ("caf\u00e9", "cafe\u0301")]:
        with pytest.raises(ArchiveError, match="have the same name"):
            open_archive(write(tmp_path / "a.zip", [(first, b""), (second, b"")]))


def test_bombs(tmp_path):
    path = write(tmp_path / "a.zip", [("zeros", bytes(2_000_000))])
    assert path.stat().st_size < 3000
    with pytest.raises(ArchiveError, match="would unpack to 2000000 bytes, at most 1000000"):
        open_archive(path)
    path = write(tmp_path / "b.zip", [(f"{n}", b"") for n in range(101)])
    with pytest.raises(ArchiveError, match="101 entries"):
        open_archive(path)


def test_overlapping_members(tmp_path):
    """Many directory entries that share one member (D. Fifield: A better zip bomb, 2019)."""
    path = write(tmp_path / "a.zip", [("one", bytes(1000)), ("two", bytes(1000))])
    data = bytearray(path.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="zip bomb"):
        open_archive(path)


def test_a_million_entries_are_refused_before_they_are_read(tmp_path):
    entry = b"PK\x01\x02" + bytes(42)
    path = tmp_path / "a.zip"
    for claimed in (65535, 1):
        end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, claimed, claimed, 46 * 10**6, 0, 0)
        path.write_bytes(entry * 10**6 + end)
        start = time.process_time()
        with pytest.raises(ArchiveError, match="at most 100 entries"):
            open_archive(path)
        assert time.process_time() - start < 0.5


def test_64_bit_directories(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = write(tmp_path / "a.zip", [(f"{n}", b"x") for n in range(5)])
    assert b"PK\x06\x06" in path.read_bytes()
    with open_archive(path) as archive:
        assert len(archive.names) == 5
    with pytest.raises(ArchiveError, match="lists 5 entries"):
        open_archive(path, max_entries=4)


def test_truncated_damaged_and_other_formats(tmp_path):
    path = write(tmp_path / "a.zip", [("one", random.Random(0).randbytes(5000)), ("two", b"2" * 5000)])
    data = path.read_bytes()
    for length in (0, 1, 100, len(data) // 2, len(data) - 30, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ArchiveError, match="no complete zip archive.*put a complete one there"):
            open_archive(path)
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    with pytest.raises(ArchiveError, match="no complete zip archive"):
        open_archive(path)


def test_flipped_bits_are_found_or_change_nothing(tmp_path):
    original = {"one": random.Random(0).randbytes(300), "two": b"2" * 300}
    data = write(tmp_path / "a.zip", original.items()).read_bytes()
    found = 0
    for bit in range(0, 8 * len(data), 13):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        (tmp_path / "b.zip").write_bytes(broken)
        try:
            with open_archive(tmp_path / "b.zip") as archive:
                for name in archive.names:
                    assert archive.read(name, 1000) in original.values()
        except ArchiveError:
            found += 1
    assert found > 100  # of some 180
