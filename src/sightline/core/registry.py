"""The folder is the registry: a plug-in's name in params.yaml is its file name.

Folders are relative to the package, e.g. `models/vision` or `data/sources`; a file whose name starts
with an underscore is private and is no choice.
"""

import difflib
import importlib
import re
from functools import cache
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[1]


def names(folder: str, pattern: str = "") -> list[str]:
    """Return the sorted names of the plug-ins in a folder of the package.

    `face` is a regular expression that a file must hold to count, for a folder whose files do not all
    have the same signature; nothing is imported.
    """
    files = [path for path in (PACKAGE / folder).glob("*.py") if not path.stem.startswith("_")]
    return sorted(path.stem for path in files if not pattern or re.search(pattern, path.read_text("utf-8")))


def suggest(name: str, choices: list[str]) -> str:
    """Return `; did you mean 'x'?` for the closest choice, or an empty string."""
    close = difflib.get_close_matches(name, choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def check(folder: str, name: str, key: str) -> None:
    """Raise ValueError, listing the choices, unless `name` is a plug-in of `folder`.

    `key` is the dotted params.yaml key the name was read from.
    """
    choices = names(folder)
    if name not in choices:
        listed = ", ".join(choices) or "nothing"
        raise ValueError(
            f"{key}: got {name!r}, allowed: {listed} (the files of src/sightline/{folder})"
            + suggest(name, choices)
        )


@cache
def load(folder: str, name: str) -> ModuleType:
    """Import and return one plug-in. Raises ValueError, listing the choices, for an unknown name."""
    check(folder, name, folder)
    return importlib.import_module(".".join((PACKAGE.name, *folder.split("/"), name)))
