"""params.yaml -> frozen, fully checked parameters, without torch.

One rule resolves a leaf: a value at the top wins; an empty one comes from
`profiles.<profile>.<section>.<leaf>`; both empty is an error. The schemas are found through the
registry, so importing the loader imports no section's schema.
"""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode

from sightline.core import registry
from sightline.core.params.checks import ParamsError, mapping, named, require, shown, typed

__all__ = ["Params", "ParamsError", "load_params"]

SCALARS = {"profile": str, "seed": int, "threads": int, "lr": float, "launch": str}


@dataclass(frozen=True)
class Params:
    """All parameters of the chosen profile; every section is an attribute (`params.data.source`).

    `origin` says where each leaf's value came from: `"top"` or `"profiles.<profile>"`.
    """

    profile: str
    seed: int
    threads: int
    lr: float
    launch: str
    sections: dict[str, Any]
    origin: dict[str, str]

    def __getattr__(self, name: str) -> Any:
        sections = self.__dict__.get("sections", {})
        if name in sections:
            return sections[name]
        raise AttributeError(f"params has no section {name!r}; it has {', '.join(sections)}")

    def asdict(self, section: str) -> dict[str, Any]:
        """Return one section as a plain dict, nested ones included."""
        return dataclasses.asdict(self.sections[section])


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
    schemas = _schemas()
    _complete(document, [*SCALARS, *schemas, "profiles"], "")
    scalars = {name: typed(document[name], kind, name) for name, kind in SCALARS.items()}
    _check_scalars(scalars)
    profiles = mapping(document["profiles"], "profiles")
    _check_profiles(profiles, schemas)
    profile = scalars["profile"]
    if profile not in profiles:
        cure = registry.suggest(profile, list(profiles))
        raise ParamsError("profile", repr(profile), ", ".join(profiles), cure=cure)
    chosen = profiles[profile] or {}
    sections = {}
    for name in (key for key in document if key in schemas):
        top = mapping(document[name], name)
        sections[name] = _merge(schemas[name], top, chosen.get(name) or {}, name, profile, origin)
    params = Params(**scalars, sections=sections, origin=origin)
    _cross_check(params)
    return params


def _schemas() -> dict[str, type]:
    """Return section -> dataclass: the class `<Section>Params` of each schema file."""
    sections = [
        name for name in registry.names("core/params") if name not in ("checks", "generation", "loader")
    ]
    return {
        name: getattr(registry.load("core/params", name), f"{name.capitalize()}Params") for name in sections
    }


def _check_scalars(scalars: dict[str, Any]) -> None:
    require(0 <= scalars["seed"] < 2**63, "seed", scalars["seed"], "an integer in [0, 2^63)")
    require(scalars["threads"] >= 1, "threads", scalars["threads"], "an integer >= 1")
    require(scalars["lr"] > 0, "lr", scalars["lr"], "a number > 0")
    python = bool(re.fullmatch(r"python[\w./=: -]*", scalars["launch"]))
    require(python, "launch", scalars["launch"], "python, or python -m torch.distributed.run and its options")


def _check_profiles(profiles: dict[str, Any], schemas: dict[str, type]) -> None:
    """Check names and types in every profile, so that a slip in an unused one is found today."""
    for profile, blocks in profiles.items():
        key = f"profiles.{profile}"
        blocks = mapping({} if blocks is None else blocks, key)
        _known(blocks, list(schemas), key)
        for section, block in blocks.items():
            _check_block(schemas[section], block, f"{key}.{section}")


def _check_block(schema: type, block: Any, key: str) -> None:
    kinds = _kinds(schema)
    block = mapping({} if block is None else block, key)
    _known(block, list(kinds), key)
    for name, value in block.items():
        if dataclasses.is_dataclass(kinds[name]):
            _check_block(kinds[name], value, f"{key}.{name}")
        elif value is not None:
            typed(value, kinds[name], f"{key}.{name}")


def _merge(schema: Any, top: dict, below: dict, key: str, profile: str, origin: dict[str, str]) -> Any:
    """Build a section: each leaf from `top`, or from the profile's block `below` where it is empty."""
    kinds = _kinds(schema)
    _complete(top, list(kinds), key)
    pair = getattr(schema, "exactly_one", ())
    pair_at_top = any(top[name] is not None for name in pair)
    values = {}
    for name, kind in kinds.items():
        leaf, value, source = f"{key}.{name}", top[name], "top"
        if dataclasses.is_dataclass(kind):
            nested = mapping(dict.fromkeys(_kinds(kind)) if value is None else value, leaf)
            values[name] = _merge(kind, nested, below.get(name) or {}, leaf, profile, origin)
            continue
        inherits = value is None and not (name in pair and pair_at_top)
        if inherits and below.get(name) is not None:
            value, source = below[name], f"profiles.{profile}"
        if value is None and NoneType not in get_args(kind):
            raise ParamsError(leaf, "nothing", f"{named(kind)}, here or in profiles.{profile}.{leaf}")
        origin[leaf] = source
        values[name] = typed(value, kind, leaf)
    return schema(**values)


def _cross_check(params: Params) -> None:
    """Check what spans sections."""
    deepest = params.finetune.layers
    inside = all(layer < deepest for layer in params.spin.layers)
    require(inside, "spin.layers", params.spin.layers, f"layers below finetune.layers = {deepest}")
    heads, top_k = params.finetune.heads, params.spin.top_k
    require((top_k or 0) <= heads, "spin.top_k", top_k, f"at most finetune.heads = {heads}")
    ranks = re.search(r"--nproc[-_]per[-_]node[= ](\d+)", params.launch)
    world = int(ranks.group(1)) if ranks else 1
    require(world >= 1, "launch", params.launch, "at least 1 process per node")
    for stage in ("pretrain", "align", "finetune"):
        size = params.sections[stage].batch_size
        require(size % world == 0, f"{stage}.batch_size", size, f"a multiple of launch's {world} processes")
    for key, splits in (("index.split", [params.index.split]), ("evaluate.splits", params.evaluate.splits)):
        built = params.data.sizes or dict.fromkeys(splits)
        missing = [split for split in splits if split not in built]
        require(not missing, key, ", ".join(missing), f"splits of data.sizes: {', '.join(built)}")


def _kinds(schema: type) -> dict[str, Any]:
    return {field.name: field.type for field in dataclasses.fields(schema)}


def _known(block: dict[str, Any], allowed: list[str], key: str) -> None:
    for name in block:
        if name not in allowed:
            dotted = f"{key}.{name}" if key else str(name)
            cure = registry.suggest(str(name), allowed)
            raise ParamsError(dotted, "an unknown key", ", ".join(allowed), cure=cure)


def _complete(block: dict[str, Any], required: list[str], key: str) -> None:
    _known(block, required, key)
    for name in required:
        if name not in block:
            dotted = f"{key}.{name}" if key else name
            raise ParamsError(dotted, "a missing key", "the key, with a value or empty")


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
