"""params.yaml and profiles/ -> frozen, fully checked parameters, without torch.

One rule resolves a leaf: a value in params.yaml wins; an empty one comes from the chosen profile, or from the
profile which that one extends; empty everywhere is an error. The leaves that params.yaml fills for all
profiles are no profile's: a leaf is set by every profile that extends nothing, or by none.

A profile that does not lie beside params.yaml is taken from the installed package.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sightline.core import packaged_project, registry
from sightline.core.params.checks import ParamsError, allowed
from sightline.core.params.params_files import (
    FOLDER,
    ParamsFile,
    check_leaf,
    optional,
    prefixes,
    read_profile,
    read_top,
    translated,
)
from sightline.core.params.sections import Params, leaves

__all__ = ["Params", "ParamsError", "load_params", "nested", "read_profiles"]

PAIR = ("spin.keep", "spin.top_k")  # exactly one is given, so the two are resolved as one


def load_params(path: Path | str = "params.yaml", overrides: dict[str, Any] | None = None) -> Params:
    """Read, check and resolve params.yaml with the profiles beside it. `overrides` are dotted leaves, which
    count as if params.yaml had them.

    Raises ParamsError naming file, line, dotted key, what was got and what is allowed.
    """
    top = read_top(Path(path))
    checked = {key: check_leaf(key, value) for key, value in (overrides or {}).items()}
    top = replace(top, values=top.values | checked)
    profiles = read_profiles(Path(path).parent)
    chosen = _chosen(top, profiles)
    layers = [top, *_chain(profiles, chosen)]
    _refuse_conflicts(top, profiles | {file.path.stem: file for file in layers[1:]})
    values, source = _merge(layers, chosen)
    try:
        params = Params.model_validate(nested(values))
    except ValidationError as error:
        raise _located(translated(error), top, source) from None
    params.origin.update({key: _shown(file.path, top.path.parent) for key, file in source.items()})
    return params


def read_profiles(root: Path) -> dict[str, ParamsFile]:
    """Return every profile by name; all are checked, so that a slip in an unused one is found today."""
    return {path.stem: read_profile(path) for path in sorted((root / FOLDER).glob("*.yaml"))}


def _packaged(name: str) -> Path:
    """Where the installed package would have a profile."""
    return packaged_project.folder() / FOLDER / f"{name}.yaml"


def _read(name: str, profiles: dict[str, ParamsFile]) -> ParamsFile | None:
    """The profile beside params.yaml, or the package's; None where neither is there."""
    if name in profiles:
        return profiles[name]
    path = _packaged(name)
    return read_profile(path) if re.fullmatch(r"\w+", name) and path.is_file() else None


def _shown(path: Path, root: Path) -> str:
    """A file's path as seen from `root`; whole for one of the package."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Return dotted keys as mappings in mappings."""
    whole: dict[str, Any] = {}
    for key, value in flat.items():
        *path, leaf = key.split(".")
        block = whole
        for part in path:
            block = block.setdefault(part, {})
        block[leaf] = value
    return whole


def _chosen(top: ParamsFile, profiles: dict[str, ParamsFile]) -> str:
    chosen = top.values["profile"]
    if chosen is None:
        raise top.located(ParamsError("profile", "nothing", ", ".join(profiles)))
    if _read(chosen, profiles) is None:
        raise top.located(_unknown("profile", chosen, profiles))
    return chosen


def _unknown(key: str, name: str, profiles: dict[str, ParamsFile]) -> ParamsError:
    """The error of a profile that is neither beside params.yaml nor in the package."""
    packaged = sorted(path.stem for path in _packaged(name).parent.glob("*.yaml"))
    choices = list(dict.fromkeys([*profiles, *packaged]))
    return ParamsError(key, repr(name), ", ".join(choices), cure=registry.suggest(name, choices))


def _chain(profiles: dict[str, ParamsFile], name: str) -> list[ParamsFile]:
    """Return the profile, the one it extends, and so on."""
    chain: list[ParamsFile] = []
    following: str | None = name
    while following is not None:
        file = _read(following, profiles)
        if file is None:
            raise chain[-1].located(_unknown("extends", following, profiles))
        if file.path in [earlier.path for earlier in chain]:
            words = "a profile that does not extend it"
            raise chain[-1].located(ParamsError("extends", repr(following), words))
        chain.append(file)
        following = file.extends
    return chain


def _refuse_conflicts(top: ParamsFile, profiles: dict[str, ParamsFile]) -> None:
    """Refuse a profile's value that params.yaml would hide: an override (`-S`) hides one that every profile
    has; a leaf that params.yaml fills for all is no profile's."""
    roots = [file for file in profiles.values() if file.extends is None]
    filled = top.filled()
    for file in profiles.values():
        for key in file.filled():
            missing = [root.path.stem for root in roots if key not in root.filled()]
            if key in filled and missing and key not in PAIR:
                words = f"nothing, since {top.path.name} fills it for all profiles"
                too = [name for name in missing if profiles[name].path.is_relative_to(top.path.parent)]
                cure = "; change it there, or to choose it by profile, empty it there"
                cure += f" and give it in {', '.join(too)} too" if too else ""
                raise file.located(ParamsError(key, repr(file.values[key]), words, cure=cure))


def _merge(layers: list[ParamsFile], chosen: str) -> tuple[dict[str, Any], dict[str, ParamsFile]]:
    """Return each leaf's value and the file it came from; the first layer that fills a leaf gives it."""
    top, values, source = layers[0], {}, {}
    for key, field in leaves().items():
        of = next((file for file in layers if any(_fills(file, name) for name in _bound(key))), top)
        values[key], source[key] = of.values.get(key), of
        if values[key] is None and not optional(key):
            words = f"{allowed(field)}, here or in {FOLDER}/{chosen}.yaml"
            raise top.located(ParamsError(key, "nothing", words))
    return values, source


def _bound(key: str) -> tuple[str, ...]:
    return PAIR if key in PAIR else (key,)


def _fills(file: ParamsFile, key: str) -> bool:
    return file.values.get(key) is not None


def _located(error: ParamsError, top: ParamsFile, source: dict[str, ParamsFile]) -> ParamsError:
    return next((source[key] for key in prefixes(error.key) if key in source), top).located(error)
