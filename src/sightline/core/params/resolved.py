"""resolved.yaml: what params.yaml and the chosen profile come to. Every stage but `resolve` depends on it."""

import io
from pathlib import Path

from ruamel.yaml import YAML

from sightline.core.atomic_io import write_bytes
from sightline.core.params.loader import Params, ParamsError

FILE = "resolved.yaml"
HEAD = "# Written by the stage `resolve` from params.yaml and profiles/; change those, not this.\n"


def text(params: Params) -> str:
    """Return the file: every leaf but `launch`, which changes no result, in the order of params.yaml."""
    yaml, out = YAML(), io.StringIO()
    yaml.width = 4096
    yaml.dump(params.model_dump(mode="json", exclude={"launch"}), out)
    return HEAD + out.getvalue()


def write(params: Params, root: Path) -> None:
    """Write resolved.yaml; one that is right already stays untouched."""
    if _present(root) != text(params):
        write_bytes(root / FILE, text(params).encode())


def check(params: Params, root: Path) -> None:
    """Raise ParamsError when resolved.yaml is not what `params` come to."""
    present, expected = _present(root), text(params)
    if present == expected:
        return
    lines = zip(f"{present}\n".splitlines(), expected.splitlines(), strict=False)
    number = next((at for at, (one, other) in enumerate(lines, 1) if one != other), 1)
    words = "what params.yaml and the profile come to"
    got = "other values" if present else "nothing"
    raise ParamsError("the file", got, words, f"{root / FILE}:{number}", "; run: dvc repro resolve")


def _present(root: Path) -> str:
    path = root / FILE
    return path.read_text(encoding="utf-8") if path.is_file() else ""
