"""Photos that a list names, found whatever the layout that a tool unpacked them to."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from sightline.data.intake.pictures import is_picture


class PhotoFiles:
    """The pictures among some paths, by path, by name and by the number that their name ends with."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths: set[str] = set()
        self._by_name: dict[str, list[str]] = {}
        self._by_number: dict[int, str] = {}
        for path in paths:
            if is_picture(path):
                name = PurePosixPath(path)
                self._paths.add(path)
                self._by_name.setdefault(name.name, []).append(path)
                if digits := re.search(r"(\d{1,18})$", name.stem):
                    self._by_number.setdefault(int(digits[1]), path)

    def __len__(self) -> int:
        return len(self._paths)

    def find(self, name: str, *near: str) -> str:
        """The picture of that path, below one of the folders `near` or anywhere; else of that file name, if
        one has it alone or it lies below one of `near`; '' if there is none."""
        for place in (*near, ""):
            path = (PurePosixPath(place) / name).as_posix()
            if path in self._paths:
                return path
        alike = self._by_name.get(PurePosixPath(name).name, [])
        below = [path for path in alike if any(place and place in path for place in near)]
        return (below or alike)[0] if len(below or alike) == 1 else ""

    def numbered(self, number: int) -> str:
        """The picture whose name ends with that number (COCO_val2014_000000000042.jpg); '' if there is
        none."""
        return self._by_number.get(number, "")
