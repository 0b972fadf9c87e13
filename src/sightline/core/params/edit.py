"""Writes leaves into params.yaml or a profile as `dvc exp run -S` does: in place, comments kept."""

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sightline.core.atomic_io import write_bytes


def fill(path: Path, leaves: dict[str, Any]) -> None:
    """Set dotted leaves of a file, and make the sections that it lacks; None empties a leaf."""
    yaml, out = YAML(), io.StringIO()
    yaml.width = 4096
    content = yaml.load(path.read_text(encoding="utf-8"))
    for dotted, value in leaves.items():
        *sections, leaf = dotted.split(".")
        block = content
        for section in sections:
            block = block.setdefault(section, {})
        block[leaf] = list(value) if isinstance(value, tuple) else value
    yaml.dump(content, out)
    write_bytes(path, out.getvalue().encode())
