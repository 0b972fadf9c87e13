"""Row 21: wrong parameters are refused before any work, and none is ignored."""

from __future__ import annotations

import copy
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from sightline.core import packaged_project
from sightline.core.params.checks import ParamsError
from sightline.core.params.loader import load_params
from sightline_lab.faults.battery import Broken, Case, Promise

MAX_SECONDS = 1.0
VALUES: tuple[Any, ...] = (
    -1, 0, 1, 2, 7, 1e9, -0.5, 0.5, 1.5, True, False, "", "yes", "none", "hf", "../x", "a\nb", [], [1], {},
    {"a": 1}, float("nan"), float("inf"), None, "0x10", "1e-4", " ", "🙂", 10**30,
)  # fmt: skip
FORMS = ("value", "value", "value", "misspelt", "missing", "more", "moved", "text")


def prepare(scratch: Path) -> Path:
    """The project's own parameter files."""
    root = packaged_project.folder()
    shutil.copyfile(root / "params.yaml", scratch / "params.yaml")
    shutil.copytree(root / "profiles", scratch / "profiles")
    return scratch


def case(case: Case) -> int:
    """One file with one fault, or with another value that is legal."""
    rng = case.rng
    shutil.copytree(case.prepared / "profiles", case.scratch / "profiles")
    path = case.scratch / "params.yaml"
    form = FORMS[case.index % len(FORMS)]
    text = (case.prepared / "params.yaml").read_text(encoding="utf-8")
    key, value, legal = "", None, False
    if form == "text":
        path.write_text(_damaged(text, rng), encoding="utf-8")
        legal = True  # a changed comment or number may well be
    else:
        document = YAML(typ="safe", pure=True).load(text)
        key, value = _change(document, form, rng)
        legal = form == "value"
        with open(path, "w", encoding="utf-8") as file:
            YAML(pure=True).dump(document, file)
    began = time.process_time()
    try:
        params = load_params(path)
    except ParamsError as error:
        if str(case.scratch) not in str(error):
            raise Broken(f"{form} {key}: no file is named: {error}") from error
    else:
        if not legal:
            raise Broken(f"{form} {key} was accepted")
        if key and value is not None and not _holds(params, key, value):
            raise Broken(f"{key} = {value!r} was accepted, and is {_found(params, key)!r}")
    seconds = time.process_time() - began
    if seconds > MAX_SECONDS:
        raise Broken(f"{form} {key}: {seconds:.1f} s of CPU time")
    return 1


def _change(document: dict[str, Any], form: str, rng: np.random.Generator) -> tuple[str, Any]:
    """Change a leaf of the document; returns its dotted key and the new value."""
    key = str(rng.choice(sorted(_leaves(document))))
    *sections, name = key.split(".")
    holder = document
    for section in sections:
        holder = holder[section]
    if form == "value":
        holder[name] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
        return key, holder[name]
    value = holder.pop(name)
    at = int(rng.integers(len(name)))
    other = name[:at] + "qz"[int(rng.integers(2))] + name[at + 1 :]
    if form == "misspelt":
        holder[other if other != name else f"{name}q"] = value
    elif form == "more":
        holder |= {name: value, f"{name}_more": 1}
    elif form == "moved":
        section = str(rng.choice([key for key, block in document.items() if isinstance(block, dict)]))
        document[section][f"{name}_moved"] = value
        holder[name] = value
    return key, None


def _leaves(block: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in block.items():
        inner = isinstance(value, dict) and value
        found += _leaves(value, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return found


def _damaged(text: str, rng: np.random.Generator) -> str:
    data = bytearray(text.encode())
    for at in rng.integers(0, len(data), int(rng.integers(1, 4))):
        data[at] = int(rng.integers(32, 127))
    if rng.random() < 0.3:
        del data[int(rng.integers(len(data))) :]
    return data.decode(errors="replace")


def _found(params: Any, key: str) -> Any:
    for name in key.split("."):
        params = params[name] if isinstance(params, dict) else getattr(params, name)
    return params


def _holds(params: Any, key: str, value: Any) -> bool:
    """Whether the parameter is what was written; 1.0 and 1 are the same, a section as well as its leaves."""
    found = _found(params, key)
    if isinstance(value, dict) or hasattr(found, "model_dump"):
        return True
    return found == value or (isinstance(value, list) and list(found) == value)


PROMISE = Promise(
    21, "Parameters", "A wrong, misspelt or missing parameter is refused with its file before any work, in "
    f"at most {MAX_SECONDS:g} s; one that is accepted has the value that was written.", "files", 400, 20_000,
    case, prepare,
)  # fmt: skip
