"""params.yaml -> frozen, fully checked parameters, without torch.

One rule resolves a leaf: a value at the top wins; an empty one comes from
`profiles.<profile>.<section>.<leaf>`; both empty is an error.
"""

import re
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode

from sightline.core import registry
from sightline.core.params.checks import ParamsError, Settings, allowed, shown
from sightline.core.params.sections import Params, leaves, section_of

__all__ = ["Params", "ParamsError", "load_params"]

PAIR = ("spin.keep", "spin.top_k")  # exactly one is given, so the two are resolved as one


def load_params(path: Path | str = "params.yaml") -> Params:
    """Read, check and resolve a whole params.yaml.

    Raises ParamsError naming file, line, dotted key, what was got and what is allowed.
    """
    path = Path(path)
    text = _text(path)
    document = _document(path, text)
    origin: dict[str, str] = {}
    try:
        return _resolve(document, origin)
    except ParamsError as error:
        source = next((origin[key] for key in _prefixes(error.key) if key in origin), "top")
        key = error.key if source == "top" else f"{source}.{error.key}"
        where = f"{path}:{_line(text, key)}"
        raise ParamsError(key, error.got, error.allowed, where, error.cure) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        cure = "; run the command in the repository root"
        raise ParamsError("the file", "nothing", "a params.yaml", str(path), cure) from None
    except UnicodeDecodeError as error:
        raise ParamsError("the file", f"other bytes ({error})", "UTF-8 text", str(path)) from None


def _document(path: Path, text: str) -> dict[str, Any]:
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        if isinstance(error, DuplicateKeyError):
            raise ParamsError(problem.split('"')[1], "the key twice", "each key once", where) from None
        raise ParamsError("YAML", problem, "valid YAML", where) from None
    if not isinstance(document, dict):
        raise ParamsError("the file", shown(document), "a mapping", str(path))
    return document


def _resolve(document: dict[str, Any], origin: dict[str, str]) -> Params:
    profiles = _mapping(document.get("profiles", {}), "profiles")
    top = _flat({key: value for key, value in document.items() if key != "profiles"}, Params)
    _complete(top)
    blocks = {name: _profile(block, f"profiles.{name}") for name, block in profiles.items()}
    chosen = check_leaf("profile", top["profile"])
    if chosen not in blocks:
        cure = registry.suggest(chosen, list(blocks))
        raise ParamsError("profile", repr(chosen), ", ".join(blocks), cure=cure)
    values = _merge(top, blocks[chosen], chosen, origin)
    params = _validated(Params, _nested({key: check_leaf(key, value) for key, value in values.items()}))
    params.origin.update(origin)
    return params


def _profile(block: Any, key: str) -> dict[str, Any]:
    """Return a profile's leaves; all profiles are checked, so that a slip in an unused one is found today."""
    try:
        flat = _flat(_mapping({} if block is None else block, ""), Params)
        return {leaf: check_leaf(leaf, value) for leaf, value in flat.items() if value is not None}
    except ParamsError as error:
        dotted = f"{key}.{error.key}" if error.key else key
        raise ParamsError(dotted, error.got, error.allowed, cure=error.cure) from None


def _flat(block: dict[str, Any], model: type[Settings], prefix: str = "") -> dict[str, Any]:
    """Return the leaves that a mapping holds, by dotted key. Raises ParamsError for an unknown key."""
    found = {}
    for name, value in block.items():
        if name not in model.model_fields:
            cure = registry.suggest(str(name), list(model.model_fields))
            raise ParamsError(f"{prefix}{name}", "an unknown key", ", ".join(model.model_fields), cure=cure)
        section = section_of(model.model_fields[name])
        if section:
            inner = _mapping({} if value is None else value, prefix + name)
            found |= _flat(inner, section, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _complete(top: dict[str, Any]) -> None:
    for key in leaves():
        if key not in top:
            raise ParamsError(key, "a missing key", "the key, with a value or empty")


def _merge(
    top: dict[str, Any], below: dict[str, Any], profile: str, origin: dict[str, str]
) -> dict[str, Any]:
    """Return each leaf from `top`, or from the profile where it is empty there."""
    pair_at_top = any(top[key] is not None for key in PAIR)
    values = {}
    for key, field in leaves().items():
        inherits = top[key] is None and not (key in PAIR and pair_at_top)
        value = below.get(key) if inherits else top[key]
        if value is None and not _optional(field):
            raise ParamsError(key, "nothing", f"{allowed(field)}, here or in profiles.{profile}.{key}")
        values[key] = value
        origin[key] = f"profiles.{profile}" if inherits and value is not None else "top"
    return values


def check_leaf(key: str, value: Any) -> Any:
    """Return the value as the leaf's type, or raise ParamsError."""
    try:
        return _adapter(key).validate_python(value)
    except ValidationError as error:
        raise _translated(error, key) from None


@cache
def _adapter(key: str) -> TypeAdapter:
    field = leaves()[key]
    kind = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


def _validated(model: type[Params], values: dict[str, Any]) -> Params:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _translated(error, "") from None


def _translated(error: ValidationError, prefix: str) -> ParamsError:
    """Return the first problem as a ParamsError with the key that it stands at."""
    first = error.errors()[0]
    own = first.get("ctx", {}).get("error")
    key = prefix + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    key = key.lstrip(".")
    if isinstance(own, ParamsError):
        dotted = ".".join(part for part in (key, own.key) if part)
        return ParamsError(dotted, own.got, own.allowed, cure=own.cure)
    field = leaves()[next(part for part in _prefixes(key) if part in leaves())]
    ranged = first["type"].startswith(("greater", "less"))
    return ParamsError(key, repr(first["input"]) if ranged else shown(first["input"]), allowed(field))


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *path, leaf = key.split(".")
        block = nested
        for part in path:
            block = block.setdefault(part, {})
        block[leaf] = value
    return nested


def _optional(field: FieldInfo) -> bool:
    return NoneType in get_args(field.annotation)


def _mapping(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ParamsError(key, shown(value), "a mapping")
    for name in value:
        if not isinstance(name, str):
            raise ParamsError(key, f"the key {shown(name)}", "keys that are strings")
    return value


def _prefixes(key: str) -> list[str]:
    """Return the key and its shorter beginnings, longest first."""
    parts = re.split(r"\.|\[", key)
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]


def _line(text: str, key: str) -> int:
    """Return the line of the longest beginning of `key` that the file holds; read again, only for errors."""
    node, line = YAML(typ="safe", pure=True).compose(text), 1
    for part in re.split(r"\.|\[", key):
        entries = node.value if isinstance(node, MappingNode) else []
        found = [(name, value) for name, value in entries if name.value == part]
        if not found:
            break
        line, node = found[0][0].start_mark.line + 1, found[0][1]
    return line
