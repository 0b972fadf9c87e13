"""The files that parameters stand in: params.yaml and profiles/<name>.yaml, read and checked leaf by leaf.

`model` is the schema that a leaf belongs to, so that other settings (`serve/deploy`) are read the same way.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode

from sightline.core import registry
from sightline.core.params.checks import ParamsError, allowed, describe_value
from sightline.core.params.sections import Params, leaves, section_of

FOLDER = "profiles"
# DVC fills ${data.path} and its like in dvc.yaml from params.yaml before the stage `resolve` runs.
LOCAL = ("data.path", "data.pictures", "text.checkpoint", "vision.checkpoint", "dual_encoder.checkpoint",
         "decoder.checkpoint")  # fmt: skip


@dataclass(frozen=True)
class ParamsFile:
    """One file: its leaves by dotted key, None where one is empty, and the profile that it extends."""

    path: Path
    text: str
    values: dict[str, Any]
    extends: str | None = None

    def located(self, error: ParamsError) -> ParamsError:
        """Return the error with this file and the line of its key."""
        where = f"{self.path}:{_line(self.text, error.key)}"
        return ParamsError(error.key, error.got, error.allowed, where, error.cure)

    def filled(self) -> dict[str, Any]:
        """Return the leaves that are not empty."""
        return {key: value for key, value in self.values.items() if value is not None}


def read_top(path: Path) -> ParamsFile:
    """Return params.yaml, which holds every leaf, empty or filled. Raises ParamsError."""
    text = read_text(path)
    file = ParamsFile(path, text, {})
    try:
        values = _flat(read_document(path, text), Params)
        for key in leaves():
            if key not in values:
                raise ParamsError(key, "a missing key", "the key, with a value or empty")
        return ParamsFile(path, text, _checked(values))
    except ParamsError as error:
        raise _once_located(file, error) from None


def read_profile(path: Path) -> ParamsFile:
    """Return a profile. Raises ParamsError."""
    file = read_extending(path, Params)
    try:
        _refuse_local(file.values)
    except ParamsError as error:
        raise file.located(error) from None
    return file


def read_extending(path: Path, model: type[BaseModel]) -> ParamsFile:
    """Return a file that holds some leaves and the name of another which it extends. Raises ParamsError."""
    text = read_text(path)
    file = ParamsFile(path, text, {})
    try:
        document = read_document(path, text)
        extends = document.pop("extends", None)
        if not isinstance(extends, str | None):
            raise ParamsError("extends", describe_value(extends), "the name of another file in the folder")
        return ParamsFile(path, text, _checked(_flat(document, model), model), extends)
    except ParamsError as error:
        raise _once_located(file, error) from None


def check_leaf(key: str, value: Any, model: type[BaseModel] = Params) -> Any:
    """Return the value as the leaf's type, or raise ParamsError."""
    try:
        return _adapter(key, model).validate_python(value)
    except ValidationError as error:
        raise translated(error, key, model) from None


def translated(error: ValidationError, prefix: str = "", model: type[BaseModel] = Params) -> ParamsError:
    """Return the first problem as a ParamsError with the key that it stands at."""
    first = error.errors()[0]
    inner = first.get("ctx", {}).get("error")
    key = prefix + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    key = key.lstrip(".")
    if isinstance(inner, ParamsError):
        dotted = ".".join(part for part in (key, inner.key) if part)
        return ParamsError(dotted, inner.got, inner.allowed, cure=inner.cure)
    fields = leaves(model)
    field = fields[next(part for part in prefixes(key) if part in fields)]
    ranged = first["type"].startswith(("greater", "less"))
    return ParamsError(
        key, repr(first["input"]) if ranged else describe_value(first["input"]), allowed(field)
    )


def optional(key: str, model: type[BaseModel] = Params) -> bool:
    """Return whether the leaf may be empty in the end."""
    return NoneType in get_args(leaves(model)[key].annotation)


def prefixes(key: str) -> list[str]:
    """Return the key and its shorter beginnings, longest first."""
    parts = re.split(r"\.|\[", key)
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]


@cache
def _adapter(key: str, model: type[BaseModel]) -> TypeAdapter:
    field: FieldInfo = leaves(model)[key]
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


def _checked(values: dict[str, Any], model: type[BaseModel] = Params) -> dict[str, Any]:
    return {key: None if value is None else check_leaf(key, value, model) for key, value in values.items()}


def _refuse_local(values: dict[str, Any]) -> None:
    for key in ("profile", "launch", "threads", *LOCAL):
        if values.get(key) is not None:
            cure = f"; give it in params.yaml, or with -S {key}=..."
            raise ParamsError(
                key, repr(values[key]), "nothing in a profile: dvc.yaml reads it from params.yaml", cure=cure
            )


def read_text(path: Path) -> str:
    """A file of UTF-8. Raises ParamsError where it is missing or none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        cure = "; run the command in the repository root"
        raise ParamsError("the file", "nothing", f"a {path.name}", str(path), cure) from None
    except UnicodeDecodeError as error:
        raise ParamsError("the file", f"other bytes ({error})", "UTF-8 text", str(path)) from None


def read_document(path: Path, text: str) -> dict[str, Any]:
    """The mapping of a YAML file whose text is given. Raises ParamsError where it is none."""
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        if isinstance(error, DuplicateKeyError):
            raise ParamsError(problem.split('"')[1], "the key twice", "each key once", where) from None
        raise ParamsError("YAML", problem, "valid YAML", where) from None
    except ValueError as error:  # `._` and `2001-99-99` look like a number and a date, and are none
        raise ParamsError("YAML", str(error), "valid YAML, such texts in quotes", str(path)) from None
    if not isinstance(document, dict):
        raise ParamsError("the file", describe_value(document), "a mapping", str(path))
    return document


def _flat(block: Any, model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Return the leaves that a mapping holds, by dotted key. Raises ParamsError for an unknown key."""
    if not isinstance(block, dict):
        raise ParamsError(prefix.rstrip("."), describe_value(block), "a mapping")
    names = list(model.model_fields)
    values: dict[str, Any] = {}
    for name, value in block.items():
        if name not in names:
            cure = registry.suggest(str(name), names)
            raise ParamsError(f"{prefix}{name}", "an unknown key", ", ".join(names), cure=cure)
        section = section_of(model.model_fields[name])
        if section:
            values |= _flat({} if value is None else value, section, f"{prefix}{name}.")
        else:
            values[prefix + name] = value
    return values


def _once_located(file: ParamsFile, error: ParamsError) -> ParamsError:
    return error if str(error).startswith(str(file.path)) else file.located(error)


def _line(text: str, key: str) -> int:
    """Return the line of the longest beginning of `key` that the file holds; read again, only for errors."""
    node, line = YAML(typ="safe", pure=True).compose(text), 1
    for part in re.split(r"\.|\[", key):
        entries = node.value if isinstance(node, MappingNode) else []
        matches = [(name, value) for name, value in entries if name.value == part]
        if not matches:
            break
        line, node = matches[0][0].start_mark.line + 1, matches[0][1]
    return line
