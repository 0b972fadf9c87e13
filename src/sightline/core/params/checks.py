"""What the loader and the schema files share: the error of a bad parameter, type and range checks."""

import math
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from sightline.core import registry


class ParamsError(ValueError):
    """A parameter that is unknown, missing, of the wrong type or out of range.

    `key` is dotted and relative to the file's top (`data.source`); `allowed` says what would be right.
    """

    def __init__(self, key: str, got: str, allowed: str, where: str = "params.yaml", cure: str = ""):
        self.key, self.got, self.allowed, self.cure = key, got, allowed, cure
        super().__init__(f"{where}: {key}: got {got}, allowed: {allowed}{cure}")


def require(ok: bool, key: str, got: Any, allowed: str) -> None:
    """Raise ParamsError unless `ok`."""
    if not ok:
        raise ParamsError(key, repr(got), allowed)


def at_least(section: str, params: Any, low: float, leaves: Iterable[str]) -> None:
    """Require low <= leaf for each named leaf of the section."""
    for leaf in leaves:
        value = getattr(params, leaf)
        require(value >= low, f"{section}.{leaf}", value, f"a number >= {low}")


def above(section: str, params: Any, low: float, leaves: Iterable[str]) -> None:
    """Require low < leaf for each named leaf of the section."""
    for leaf in leaves:
        value = getattr(params, leaf)
        require(value > low, f"{section}.{leaf}", value, f"a number > {low}")


def between(section: str, params: Any, low: float, high: float, leaves: Iterable[str]) -> None:
    """Require low <= leaf <= high for each named leaf of the section."""
    for leaf in leaves:
        value = getattr(params, leaf)
        require(low <= value <= high, f"{section}.{leaf}", value, f"a number in [{low}, {high}]")


def share(section: str, params: Any, leaves: Iterable[str]) -> None:
    """Require 0 <= leaf < 1 for each named leaf of the section."""
    for leaf in leaves:
        value = getattr(params, leaf)
        require(0 <= value < 1, f"{section}.{leaf}", value, "a number in [0, 1)")


def heads_fit(section: str, params: Any, positions: str) -> None:
    """Require that the width divides into heads, the heads into groups that share keys and values, and, with
    rotary positions, a head into pairs."""
    width, heads, groups = params.width, params.heads, params.key_value_heads
    require(width % heads == 0, f"{section}.width", width, f"a multiple of {section}.heads = {heads}")
    divides = groups == 0 or (groups > 0 and heads % groups == 0)
    require(divides, f"{section}.key_value_heads", groups, f"0 or a divisor of {section}.heads = {heads}")
    even = positions != "rotary" or width // heads % 2 == 0
    allowed = f"{section}.width / {section}.heads even, as rotary positions turn pairs"
    require(even, f"{section}.heads", heads, allowed)


def plugin(key: str, name: str, folder: str, face: str = "") -> None:
    """Require that `name` is a file of the package's folder, and one that holds `face`."""
    choices = registry.names(folder, face)
    if name not in choices:
        allowed = f"{', '.join(choices) or 'nothing'} (the files of src/sightline/{folder})"
        raise ParamsError(key, repr(name), allowed, cure=registry.suggest(name, choices))


def mapping(value: Any, key: str) -> dict[str, Any]:
    """Return `value` if it is a mapping with string keys, or raise ParamsError."""
    if not isinstance(value, dict):
        raise ParamsError(key, shown(value), "a mapping")
    for name in value:
        if not isinstance(name, str):
            raise ParamsError(key, f"the key {shown(name)}", "keys that are strings")
    return value


def typed(value: Any, kind: Any, key: str) -> Any:
    """Return `value` as `kind` (an int becomes a float where a float is asked), or raise ParamsError."""
    if isinstance(kind, UnionType):
        inner = next(part for part in get_args(kind) if part is not NoneType)
        return None if value is None else typed(value, inner, key)
    if get_origin(kind) is Literal:
        fits = any(type(value) is type(choice) and value == choice for choice in get_args(kind))
    elif get_origin(kind) is list and isinstance(value, list):
        return [typed(part, get_args(kind)[0], f"{key}[{i}]") for i, part in enumerate(value)]
    elif get_origin(kind) is dict and isinstance(value, dict):
        entries = mapping(value, key).items()
        return {name: typed(part, get_args(kind)[1], f"{key}.{name}") for name, part in entries}
    elif kind is float and type(value) in (int, float):
        fits, value = math.isfinite(value), float(value)
    else:
        fits = type(value) is kind
    if not fits:
        raise ParamsError(key, shown(value), named(kind))
    return value


def named(kind: Any) -> str:
    """Return what is allowed, in the words of an error message."""
    if get_origin(kind) is Literal:
        return ", ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) is list:
        return f"a list of {named(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return f"a mapping of names to {named(get_args(kind)[1])}"
    words = {int: "an integer", float: "a finite number", str: "a string", bool: "true or false"}
    return words.get(kind, str(kind))


def shown(value: Any) -> str:
    """Return what was got, in the words of an error message."""
    return "nothing" if value is None else f"{value!r} ({type(value).__name__})"
