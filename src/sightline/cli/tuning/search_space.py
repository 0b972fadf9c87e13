"""The values that a search tries, as `dvc exp run -S` takes them and with ranges besides.

`lr=log:1e-4..3e-3` is a range in even steps of the logarithm, `finetune.epochs=1..2` an even one,
`align.batch_size=32..128:32` one in steps, `align.loss=info_nce,sigmoid` a choice; one value alone is set in
every experiment.
"""

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sightline.core import registry
from sightline.core.params import loader, params_files, sections
from sightline.core.params.checks import ParamsError, allowed

NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"(log:)?({NUMBER})\.\.({NUMBER})(?::({NUMBER}))?")
FORMS = "VALUE, a choice VALUE,VALUE or a range LOW..HIGH, LOW..HIGH:STEP, log:LOW..HIGH"
MOST_CHECKED = 24  # values of a range, and ends of the others with one, that are tried before anything runs


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both of them too; `step` None: all between."""

    low: float
    high: float
    step: float | None
    log: bool

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int)

    def checked(self) -> list[float]:
        """Its ends, and what lies between where that is little."""
        step = self.step or (1 if self.whole else None)
        count = 0 if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1
        if step is None or count > MOST_CHECKED:
            return [self.low, self.high]
        return [self.low + number * step for number in range(count)]


@dataclass(frozen=True)
class Choice:
    """Values as they were typed."""

    typed: tuple[str, ...]

    def checked(self) -> list[str]:
        return list(self.typed)


@dataclass(frozen=True)
class Space:
    """What is searched and what is set, by leaf of params.yaml."""

    searched: dict[str, Range | Choice]
    fixed: dict[str, str]

    def check(self, point: dict[str, Any], params: Path) -> sections.Params:
        """The parameters with these values. Raises ParamsError where they do not fit each other."""
        typed = {key: _value(value) for key, value in (self.fixed | point).items()}
        return loader.load_params(params, typed)

    def settings(self, point: dict[str, Any]) -> list[str]:
        """The arguments of `-S`."""
        words = {key: value if isinstance(value, str) else repr(value) for key, value in point.items()}
        return [f"{key}={word}" for key, word in (self.fixed | words).items()]


def parse(settings: Iterable[str], params: Path) -> Space:
    """The space that the settings NAME=VALUES describe, every end and choice checked against params.yaml and
    its schema. Raises ParamsError."""
    searched: dict[str, Range | Choice] = {}
    fixed: dict[str, str] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not text.strip():
            raise ParamsError(setting, "no values", f"{key or 'NAME'}={FORMS}", "-S")
        if key not in sections.leaves():
            cure = registry.suggest(key, list(sections.leaves()))
            raise ParamsError(key, "an unknown name", "the leaves of params.yaml", "-S", cure)
        if key in searched or key in fixed:
            raise ParamsError(key, "the name twice", "each once", "-S")
        values = _range(key, text) or _split(text)
        if isinstance(values, tuple) and len(values) == 1:
            fixed[key] = values[0]
        else:
            searched[key] = values if isinstance(values, Range) else Choice(values)
    if not searched:
        raise ParamsError("values", "nothing to search", f"at least one NAME=VALUES: {FORMS}", "-S")
    space = Space(searched, fixed)
    for key, text in fixed.items():
        _check_leaf(key, text)
    for key, part in searched.items():
        for value in part.checked():
            _check_leaf(key, value)
            _check_fits(key, value, space, params)
    return space


def _check_fits(key: str, value: Any, space: Space, params: Path) -> None:
    """Raise ParamsError where the value fits neither what params.yaml says of the others, nor their ends."""
    try:
        space.check({key: value}, params)
    except ParamsError as error:
        others = {name: part.checked() for name, part in space.searched.items() if name != key}
        ends = ({values[0], values[-1]} for values in others.values())
        for point in islice(product(*ends), MOST_CHECKED if others else 0):
            with suppress(ParamsError):
                space.check(dict(zip(others, point, strict=True)) | {key: value}, params)
                return
        raise error


def _check_leaf(key: str, value: Any) -> None:
    try:
        params_files.check_leaf(key, _value(value))
    except ParamsError as error:
        raise ParamsError(error.key, error.got, error.allowed, "-S", error.cure) from None


def _range(key: str, text: str) -> Range | None:
    """The range that the text is; None where it is none, or the leaf holds no numbers."""
    match, kinds = RANGE.fullmatch(text.strip()), _kinds(sections.leaves()[key].annotation)
    if match is None or not kinds & {int, float}:
        return None
    number = float if float in kinds else int
    try:
        low, high = number(match[2]), number(match[3])
        step = number(match[4]) if match[4] else None
    except ValueError:
        raise ParamsError(key, text, f"{allowed(sections.leaves()[key])}, at both ends", "-S") from None
    log = bool(match[1])
    if low >= high:
        raise ParamsError(key, text, "a range whose first end is the lower one", "-S")
    if log and (low <= 0 or step is not None):
        raise ParamsError(key, text, "log: with an end above 0 and without a step", "-S")
    if step is not None and not 0 < step <= high - low:
        raise ParamsError(key, text, f"a step above 0 and at most {high - low:g}", "-S")
    return Range(low, high, step, log)


def _kinds(kind: Any) -> set[Any]:
    if get_origin(kind) is Annotated:
        return _kinds(get_args(kind)[0])
    if get_origin(kind) in (UnionType, Union):
        return set().union(*(_kinds(part) for part in get_args(kind)))
    return {kind}


def _split(text: str) -> tuple[str, ...]:
    """The parts between commas that stand in no brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        else:
            depth += (sign in "[{(") - (sign in "]})")
        if sign == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return tuple(part.strip() for part in parts)


def _value(value: Any) -> Any:
    """What DVC writes into params.yaml for a value as it was typed; of a range, the number itself."""
    if not isinstance(value, str):
        return value
    try:
        return YAML(typ="safe", pure=True).load(value)
    except (YAMLError, ValueError):  # a ValueError: what looks like a date and is none
        return value
