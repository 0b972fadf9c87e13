"""resolved.yaml: what params.yaml and the chosen profile come to. Every stage but `resolve` depends on it.

In a repository of `sightline init` the code lies in the installed package, where DVC cannot follow it. There
the section `code` holds a hash of each folder of the package that a stage tracks as `code.<folder>`.
"""

import io
import re
from pathlib import Path

from ruamel.yaml import YAML

from sightline.core import source_digest
from sightline.core.atomic_io import write_bytes
from sightline.core.params.loader import Params, ParamsError
from sightline.core.params.sections import NOT_RESOLVED

FILE = "resolved.yaml"
CODE = "code"
HEAD = "# Written by the stage `resolve` from params.yaml and profiles/; change those, not this.\n"


def text(params: Params, root: Path) -> str:
    """Return the file: every leaf but those NOT_RESOLVED, in the order of params.yaml; then the
    hashes that dvc.yaml below `root` tracks."""
    yaml, out = YAML(), io.StringIO()
    yaml.width = 4096
    code = {name: source_digest.folder_digest(source_digest.PACKAGE / name) for name in tracked_code(root)}
    yaml.dump(params.model_dump(mode="json", exclude=set(NOT_RESOLVED)) | ({CODE: code} if code else {}), out)
    return HEAD + out.getvalue()


def tracked_code(root: Path) -> list[str]:
    """Return the folders of the package that stages of dvc.yaml track as `code.<folder>`, sorted."""
    path = root / "dvc.yaml"
    found = re.findall(rf"\b{CODE}\.(\w+)", path.read_text(encoding="utf-8")) if path.is_file() else []
    return sorted(set(found))


def write(params: Params, root: Path) -> None:
    """Write resolved.yaml; one that is right already stays untouched."""
    expected = text(params, root)
    if _present(root) != expected:
        write_bytes(root / FILE, expected.encode())


def check(params: Params, root: Path) -> None:
    """Raise ParamsError when resolved.yaml is not what `params` come to."""
    present, expected = _present(root), text(params, root)
    if present == expected:
        return
    lines = zip(f"{present}\n".splitlines(), expected.splitlines(), strict=False)
    number = next((at for at, (one, other) in enumerate(lines, 1) if one != other), 1)
    words = "what params.yaml, the profile and the code come to"
    got = "other values" if present else "nothing"
    raise ParamsError("the file", got, words, f"{root / FILE}:{number}", "; run: dvc repro resolve")


def _present(root: Path) -> str:
    path = root / FILE
    return path.read_text(encoding="utf-8") if path.is_file() else ""
