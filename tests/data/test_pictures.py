"""A folder or a zip of someone's pictures: order, refusals, nothing to read, hostile archives."""

import zipfile

import numpy as np
import pytest

from sightline.data import images
from sightline.data.archives import ArchiveError
from sightline.data.image_folder import read


def png(value):
    return images.encode(np.full((5, 6, 3), value, np.uint8))[0]


FILES = {
    "b.png": png(2),
    "in/a.PNG": png(3),
    "broken.jpg": b"\xff\xd8\xff no",
    "notes.txt": b"x",
    "a.png": png(1),
}


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        path = tmp_path / "shots" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "shots"


def archive(path, files):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def test_every_picture_by_name_and_what_cannot_be_read(folder, tmp_path):
    for path in (folder, archive(tmp_path / "shots.zip", FILES | {"__MACOSX/a.png": b"no"})):
        refused = []
        assert [int(rgb[0, 0, 0]) for _, rgb in read(path, 10**6, refused)] == [1, 2, 3]
        assert len(refused) == 1 and "broken.jpg" in refused[0]


def test_a_path_without_pictures_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="no readable picture"):
        list(read(tmp_path, 10**6, []))
    with pytest.raises(ArchiveError, match="no complete zip"):
        list(read(tmp_path / "notes.txt", 10**6, []))
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "nowhere", 10**6, []))


def test_a_hostile_archive_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ArchiveError, match="leaves the archive"):
        list(read(archive(tmp_path / "evil.zip", {"../a.png": png(1)}), 10**6, []))
