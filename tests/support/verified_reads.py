"""Runs a script and tells which files of data, models, metrics and plots it read before anything had verified
them: `python -m tests.support.verified_reads REPORT SCRIPT [ARGUMENT...]`, in the folder that holds them.

Verified is a folder that `artifacts.load` returned, a file whose sha256 the settings of such an artifact
hold, and what this process itself wrote. `sys.addaudithook` sees every file that Python opens; weights are
opened by safetensors, outside of Python, so their one reader is asked.
"""

import concurrent.futures
import json
import os
import runpy
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from sightline.core import artifacts, replace_folder
from tests.support import in_this_process

FOLDERS = ("data", "models", "metrics", "plots")
WRITES = os.O_WRONLY | os.O_RDWR


class Reads:
    """seen: files that were read; unverified: those among them that were not verified, with who read them."""

    def __init__(self, here: Path) -> None:
        self._roots = tuple(str(here / name) + os.sep for name in FOLDERS)
        self._trusted: set[str] = set()  # files, and folders with all that is in them
        self._digests = ""
        self._checking = 0
        self.seen: set[str] = set()
        self.unverified: dict[str, str] = {}

    def hook(self, event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, mode, flags = _absolute(arguments[0]), arguments[1] or "", arguments[2] or 0
            if flags & WRITES or set(mode) & set("wax+"):
                if flags & os.O_TRUNC or not os.path.lexists(path):
                    self._trusted.add(path)
            elif not os.path.isdir(path):
                self.read(path)
        elif event == "os.mkdir" and not os.path.lexists(path := _absolute(arguments[0])):
            self._trusted.add(path)
        elif event == "os.rename" and self._trusts(_absolute(arguments[0])):
            self._trusted.add(_absolute(arguments[1]))

    def read(self, path: str) -> None:
        if self._checking or not path.startswith(self._roots):
            return
        self.seen.add(path)
        if not self._trusts(path) and path not in self.unverified:
            self.unverified[path] = _caller()

    def verifies(self, load: Callable) -> Callable:
        """`artifacts.load`, whose result is trusted."""

        @wraps(load)
        def loaded(folder, *words, **more):
            artifact = self.check(load)(folder, *words, **more)
            self._trusted.add(_absolute(folder))
            self._digests += json.dumps(artifact.config)
            return artifact

        return loaded

    def hashes(self, sha256: Callable) -> Callable:
        """`artifacts.sha256`, which uses nothing of what it reads."""

        @wraps(sha256)
        def hashed(path, *words, **more):
            digest = self.check(sha256)(path, *words, **more)
            if digest in self._digests:
                self._trusted.add(_absolute(path))
            return digest

        return hashed

    def check(self, call: Callable) -> Callable:
        """A function that may read what is not verified: it compares, or decides what may be replaced."""

        @wraps(call)
        def called(*words, **more):
            self._checking += 1
            try:
                return call(*words, **more)
            finally:
                self._checking -= 1

        return called

    def natively(self, load_weights: Callable) -> Callable:
        @wraps(load_weights)
        def loaded(path):
            self.read(_absolute(path))
            return load_weights(path)

        return loaded

    def _trusts(self, path: str) -> bool:
        return path in self._trusted or any(str(folder) in self._trusted for folder in Path(path).parents)


def _absolute(path) -> str:
    return os.path.abspath(os.fsdecode(path))


def _caller() -> str:
    """The nearest lines of the project above the read."""
    frame, lines = sys._getframe(2), []
    while frame is not None and len(lines) < 3:
        file = Path(frame.f_code.co_filename)
        if {"sightline", "stages"} & set(file.parts) and file.name != "artifacts.py":
            lines.append(f"{file.name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(lines)


def main(report: str, script: str, *arguments: str) -> None:
    reads = Reads(Path.cwd())
    artifacts.load, artifacts.sha256 = reads.verifies(artifacts.load), reads.hashes(artifacts.sha256)
    artifacts.load_weights = reads.natively(artifacts.load_weights)
    replace_folder.check, replace_folder.swap = map(reads.check, (replace_folder.check, replace_folder.swap))
    concurrent.futures.ProcessPoolExecutor = in_this_process.Pool  # whose reads the hook sees
    sys.addaudithook(reads.hook)
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        told = {"seen": len(reads.seen), "unverified": reads.unverified}
        Path(report).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
