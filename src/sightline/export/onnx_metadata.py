"""Metadata of an ONNX file: short facts under the prefix `sightline.`, the same bytes every time."""

from pathlib import Path

import onnx

PREFIX = "sightline."


def read(path: Path) -> dict[str, str]:
    """The facts of a graph, without the prefix."""
    stored = onnx.load(path).metadata_props
    return {entry.key.removeprefix(PREFIX): entry.value for entry in stored if entry.key.startswith(PREFIX)}


def stamp(path: Path, facts: dict[str, str]) -> None:
    """Replace the metadata of a graph by `facts`, sorted."""
    model = onnx.load(path)
    del model.metadata_props[:]
    for key, value in sorted(facts.items()):
        model.metadata_props.add(key=PREFIX + key, value=value)
    path.write_bytes(model.SerializeToString(deterministic=True))
