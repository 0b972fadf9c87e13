"""One process at a time in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Held while a process changes what an existing folder holds; another waits for it. The folder itself is
    locked, so no lock file is left in it, and the system frees it when its holder is killed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock_descriptor(descriptor)
        yield
    finally:
        os.close(descriptor)
