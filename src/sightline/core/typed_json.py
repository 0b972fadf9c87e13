"""JSON files that come from anywhere, read by a schema: their values are what the code takes them for."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sightline.core import artifacts

Value = TypeVar("Value")
MOST = 80  # characters of a value that a message repeats


class Described(BaseModel):
    """A file of which some keys are read. Others may be there: other programs and versions have their own."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


def read(path: Path, schema: type[Value], cure: str) -> Value:
    """The value of a JSON file. Raises ValueError that names file, key, what was got and the cure."""
    return check(path, artifacts.read_json(path), schema, cure)


def check(path: Path, document: Any, schema: type[Value], cure: str) -> Value:
    """`document`, which was read from `path`, as `schema`; ValueError as `read` says."""
    try:
        return TypeAdapter(schema).validate_json(json.dumps(document))  # in JSON a tuple is a list
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        got = "" if first["type"] == "missing" else f", got {shortened(first['input'])}"
        raise ValueError(f"{path}: {key}: {first['msg']}{got}; {cure}") from error


def shortened(value: Any) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) <= MOST else f"{text[:MOST]}..."
