"""What the sections share: their base class, the error of a bad parameter, and the types with a range.

A field's type and range are read twice, by pydantic and by `allowed`, which puts them into words for errors
and for the reference page.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from sightline.core import registry


class ParamsError(ValueError):
    """A parameter that is unknown, missing, of the wrong type or out of range.

    `key` is dotted; `allowed` describes the valid values; `where` is `file:line`, empty until that is known.
    """

    def __init__(self, key: str, got: str, allowed: str, where: str = "", cure: str = ""):
        self.key, self.got, self.allowed, self.cure = key, got, allowed, cure
        prefix = ": ".join(part for part in (where, key) if part)
        super().__init__(f"{prefix}: got {got}, allowed: {allowed}{cure}")


class Settings(BaseModel):
    """Frozen; an unknown key and a value of another type are errors (an integer may stand for a float)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def replaced(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked anew. Raises ValueError for a value out of range."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | changes)


def require(ok: bool, key: str, got: Any, allowed: str) -> None:
    """Raise ParamsError unless `ok`."""
    if not ok:
        raise ParamsError(key, repr(got), allowed)


@dataclass(frozen=True)
class PlugIn:
    """The name of a file in a folder of the package, and of one that matches `pattern`."""

    folder: str
    pattern: str = ""

    def __call__(self, name: str) -> str:
        choices = registry.names(self.folder, self.pattern)
        if name not in choices:
            words = f"{', '.join(choices) or 'nothing'} (the files of src/sightline/{self.folder})"
            raise ParamsError("", repr(name), words, cure=registry.suggest(name, choices))
        return name

    def __str__(self) -> str:
        return f"a file of src/sightline/{self.folder}"


@dataclass(frozen=True)
class Matches:
    """Text of a form, which `words` describe."""

    pattern: str
    words: str

    def __call__(self, text: str) -> str:
        require(bool(re.fullmatch(self.pattern, text)), "", text, self.words)
        return text

    def __str__(self) -> str:
        return self.words


NO_INPUT = "data/no_input"  # a committed file: what a path is that nobody gave, since a dep of DVC must exist
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Name = Annotated[str, AfterValidator(Matches(r".+", "a name"))]


def once(key: str, values: Iterable[Any], words: str) -> None:
    """Require that no value comes twice."""
    values = list(values)
    require(len(set(values)) == len(values), key, values, f"{words}, each once")


def heads_fit(section: str, params: Any, positions: str) -> None:
    """Require that the width divides into heads, the heads into groups that share keys and values, and, with
    rotary positions, a head into pairs."""
    width, heads, groups = params.width, params.heads, params.key_value_heads
    require(width % heads == 0, "width", width, f"a multiple of {section}.heads = {heads}")
    divides = groups == 0 or heads % groups == 0
    require(divides, "key_value_heads", groups, f"0 or a divisor of {section}.heads = {heads}")
    even = positions != "rotary" or width // heads % 2 == 0
    require(even, "heads", heads, f"{section}.width / {section}.heads even, as rotary positions turn pairs")


def allowed(field: FieldInfo) -> str:
    """Return in words what a field may hold: `an integer >= 1`, `mass, logit_sum`."""
    return _words(field.annotation, field.metadata)


def _words(kind: Any, rules: Iterable[Any] = ()) -> str:
    rules = list(rules)
    rule = next((it.func for it in rules if isinstance(it, AfterValidator)), None)
    if rule is not None:
        return str(rule)
    if get_origin(kind) is Annotated:
        inner, *annotations = get_args(kind)
        flat = [part for it in annotations for part in (it.metadata if isinstance(it, FieldInfo) else [it])]
        return _words(inner, [*flat, *rules])
    if get_origin(kind) in (UnionType, Union):
        parts = [_words(part, rules) for part in get_args(kind) if part is not NoneType]
        return ", or ".join([*parts, *["empty"] * (NoneType in get_args(kind))])
    if get_origin(kind) is Literal:
        return ", ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return f"a list, each {_words(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return f"a mapping of names to {_words(get_args(kind)[1])}"
    words = {int: "an integer", float: "a finite number", str: "a string", bool: "true or false"}
    return words[kind] + _range(rules)


def _range(rules: list[Any]) -> str:
    low = next((rule for rule in rules if isinstance(rule, Ge | Gt)), None)
    high = next((rule for rule in rules if isinstance(rule, Le | Lt)), None)
    start = (f"[{low.ge}" if isinstance(low, Ge) else f"({low.gt}") if low else ""
    end = (f"{high.le}]" if isinstance(high, Le) else f"{high.lt})") if high else ""
    if start and end:
        return f" in {start}, {end}"
    if low:
        return f" >= {low.ge}" if isinstance(low, Ge) else f" > {low.gt}"
    return ""


def describe_value(value: Any) -> str:
    """Return a value and its type, as error messages print them."""
    return "nothing" if value is None else f"{value!r} ({type(value).__name__})"
