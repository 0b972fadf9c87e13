"""Pictures by name: a path below a folder, or an address on the internet, kept once fetched."""

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from urllib.parse import unquote

from sightline.core import runtime
from sightline.data import fetch
from sightline.data.http_connection import split_url
from sightline.data.http_transfer import Transfer
from sightline.data.intake.rows import Location, PictureError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm")
MAX_PICTURE_BYTES = 64 << 20
FETCH_TRIES = 3
SHOWN = 200  # characters of a name that a message repeats


class PictureFolder:
    """Pictures below `folder`; links inside it are followed, one that leads out of it is refused.

    `allow` are networks that pictures may come from although they are not public. Not `online`, none is
    fetched.
    """

    def __init__(
        self, folder: Path, timeout_s: float, allow: Collection[str] = (), online: bool = True
    ) -> None:
        self.folder, self.timeout_s, self.allow, self.online = folder, timeout_s, allow, online
        self._real = folder.resolve()

    def name(self, location: str) -> str:
        """The location as it is kept: a path in the folder without the folder."""
        for base in (self.folder.absolute(), self._real):
            if PurePath(location).is_absolute() and PurePath(location).is_relative_to(base):
                return PurePath(location).relative_to(base).as_posix()
        return location

    def read(self, location: Location) -> bytes:
        """The bytes of a picture. Raises PictureError and FetchError."""
        url = str(location)
        parts = split_url(url)
        if parts.scheme in ("http", "https"):
            return self._fetched(url).read_bytes()
        if parts.scheme not in ("", "file"):
            raise PictureError("scheme", f"{url}: expected a path, http:// or https://")
        named = self.folder / (unquote(parts.path) if parts.scheme else url)
        path = self._inside(named, url)
        if not path.is_file():
            raise PictureError("missing", f"{url} is not a file in {self.folder}")
        if path.stat().st_size > MAX_PICTURE_BYTES:
            raise PictureError(
                "too_large", f"{url} has {path.stat().st_size} bytes, not {MAX_PICTURE_BYTES} at most"
            )
        return path.read_bytes()

    def files(self) -> Iterator[str]:
        """Every file below the folder, as a path in it, sorted by folder; hidden ones are left out."""
        for here, folders, names in os.walk(self.folder, followlinks=True):
            place = Path(here)
            folders[:] = sorted(name for name in folders if self._walked(place / name))
            for name in sorted(names):
                if not name.startswith("."):
                    yield (place / name).relative_to(self.folder).as_posix()

    def _walked(self, path: Path) -> bool:
        """Whether a folder is read: a link to one above it would never end."""
        real = path.resolve()
        return not path.name.startswith(".") and not (
            path.is_symlink() and path.parent.resolve().is_relative_to(real)
        )

    def _inside(self, named: Path, url: str) -> Path:
        try:
            path = named.resolve()
            path.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # too long, a link to itself, a NUL
            raise PictureError("missing", f"{url[:SHOWN]} is no name of a file ({error})") from error
        if path.is_relative_to(self._real):
            return path
        if Path(os.path.normpath(named.absolute())).is_relative_to(self.folder.absolute()):
            raise PictureError(
                "link", f"a link leads out of {self.folder}: {url} is {path}; give the folder that it leads "
                "to, or copy the pictures"
            )  # fmt: skip
        raise PictureError("outside", f"{url} leads out of {self.folder}")

    def _fetched(self, url: str) -> Path:
        if not self.online:
            raise PictureError("remote", f"{url} is not on this disk, and nothing is fetched here")
        target = runtime.resume_dir("downloads", hashlib.sha256(url.encode()).hexdigest()) / "picture"
        limits = Transfer(self.timeout_s, MAX_PICTURE_BYTES, True, self.allow, FETCH_TRIES)
        return fetch.fetch(url, target, None, limits)


def is_picture(name: str) -> bool:
    """Whether a file is named like a picture."""
    return PurePath(name).suffix.lower() in ENDINGS
