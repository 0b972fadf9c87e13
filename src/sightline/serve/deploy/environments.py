"""deploy/*.yaml, environment variables and options -> one checked `Deployment`.

One rule resolves a setting: an option wins over an environment variable, that over the environment's file,
that over the file which it `extends`. An empty leaf of a file is none.

A file is looked for beside the one that extends it, then in deploy/ of the project, then in the installed
package. One may extend another of its own name: the project's prod that of the package.
"""

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sightline.core import packaged_project, registry
from sightline.core.params.checks import ParamsError, allowed
from sightline.core.params.loader import nested
from sightline.core.params.params_files import (
    ParamsFile,
    check_leaf,
    optional,
    prefixes,
    read_extending,
    translated,
)
from sightline.core.params.sections import leaves
from sightline.serve.deploy.deployment import Deployment
from sightline.serve.safety import policy

FOLDER = "deploy"
PREFIX = "SIGHTLINE_SERVE__"
# What Kubernetes sets in every container for a service that is named sightline-serve.
KUBERNETES = re.compile(r"SIGHTLINE_SERVE_(SERVICE_(HOST|PORT)\w*|PORT_\d+_\w+)")


@dataclass(frozen=True)
class Given:
    """A setting from outside the files: `where` names the option or the environment variable."""

    where: str
    key: str
    value: Any

    def located(self, error: ParamsError) -> ParamsError:
        return ParamsError(error.key, error.got, error.allowed, self.where, error.cure)


def load(env: str, root: Path | None = None, given: Sequence[Given] = ()) -> Deployment:
    """The settings of an environment, by its name or the path of its file. `root`: the project's folder;
    `given`: what wins over the files, the last over those before it.

    Raises ParamsError naming where, dotted key, what was got and what is allowed.
    """
    files = _chain(env, root)
    source: dict[str, ParamsFile | Given] = {}
    values: dict[str, Any] = dict.fromkeys(leaves(Deployment))
    for file in reversed(files):
        values |= file.filled()
        source |= dict.fromkeys(file.filled(), file)
    for one in given:
        values[one.key], source[one.key] = _checked(one), one
    for key, field in leaves(Deployment).items():
        if values[key] is None and not optional(key, Deployment):
            words = f"{allowed(field)}, here or in a file that this one extends"
            raise files[0].located(ParamsError(key, "nothing", words, cure=_cure(files)))
    if values["safety"] is not None:
        values["safety"] = str(_policy(values["safety"], source["safety"], _folders(root)))
    try:
        deployment = Deployment.model_validate(nested(values))
    except ValidationError as error:
        problem = translated(error, model=Deployment)
        raise next(source[key] for key in prefixes(problem.key) if key in source).located(problem) from None
    deployment.origin.update({key: _shown(source.get(key), root) for key in leaves(Deployment)})
    return deployment


def variables(environ: Mapping[str, str]) -> list[Given]:
    """The settings among environment variables: `SIGHTLINE_SERVE__LIMITS__QUEUE=8` is `limits.queue: 8`; a
    list is `[a, b]`; an empty one empties what may be empty. Raises ParamsError for one that names no
    setting."""
    known = {variable(key): key for key in leaves(Deployment)}
    found = []
    for name, text in environ.items():
        plain = name.upper()
        if not plain.startswith(PREFIX.removesuffix("_")) or KUBERNETES.fullmatch(plain):
            continue
        if plain == "SIGHTLINE_SERVE_PORT" and "://" in text:
            continue  # Kubernetes, too
        if name not in known:
            words = f"{PREFIX}<SETTING>, or {PREFIX}<SECTION>__<SETTING>, of those that --print-config lists"
            cure = registry.suggest(plain, list(known))
            raise ParamsError(name, "a variable that names no setting", words, cure=cure)
        found.append(Given(name, known[name], _value(known[name], text)))
    return found


def variable(key: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + key.replace(".", "__").upper()


def lines(deployment: Deployment) -> list[str]:
    """Every setting with where it came from, as `sightline params` prints parameters."""
    values = deployment.model_dump(mode="json")
    return [
        f"{key} = {reduce(operator.getitem, key.split('.'), values)!r}   ({deployment.origin[key]})"
        for key in leaves(Deployment)
    ]


def _policy(name: str, source: ParamsFile | Given, folders: Sequence[Path]) -> Path:
    """The file of a policy, which is read: what is wrong with it is told before anything is loaded."""
    beside = source.path.parent if isinstance(source, ParamsFile) else Path()
    found = next((folder / name for folder in (beside, *folders) if (folder / name).is_file()), None)
    if found is None:
        choices = [path for folder in folders for path in sorted(folder.glob("safety/*.yaml"))]
        words = f"the path of a policy, such as {choices[0] if choices else 'safety/default.yaml'}"
        raise source.located(ParamsError("safety", repr(name), words))
    policy.load(str(found.resolve()))
    return found.resolve()


def _value(key: str, text: str) -> Any:
    """A variable's text as the setting's type; as it is where it does not fit, which `load` tells."""
    if not text and optional(key, Deployment):
        return None
    try:
        return check_leaf(key, text, Deployment)
    except ParamsError:
        pass
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):  # a ValueError: what looks like a date and is none
        return text
    return text if value is None else value


def _checked(one: Given) -> Any:
    try:
        return None if one.value is None else check_leaf(one.key, one.value, Deployment)
    except ParamsError as error:
        raise one.located(error) from None


def _folders(root: Path | None) -> list[Path]:
    here = [root / FOLDER] if root else []
    return [*here, packaged_project.folder() / FOLDER]


def _chain(env: str, root: Path | None) -> list[ParamsFile]:
    """The environment's file, the one it extends, and so on."""
    path = Path(env)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise ParamsError(
                "--env", repr(env), "the path of a file that is there, or an environment's name"
            )
        chain = [read_extending(path, Deployment)]
    else:
        found = next(_candidates(env, _folders(root)), None)
        if found is None:
            raise _unknown("--env", env, _folders(root), ", or the path of a file")
        chain = [read_extending(found, Deployment)]
    while (name := chain[-1].extends) is not None:
        read = [file.path.resolve() for file in chain]
        folders = [chain[-1].path.parent, *_folders(root)]
        found = next((one for one in _candidates(name, folders) if one.resolve() not in read), None)
        if found is None:
            raise chain[-1].located(_unknown("extends", name, folders, ", and no file that extends this one"))
        chain.append(read_extending(found, Deployment))
    return chain


def _candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    if re.fullmatch(r"[\w-]+", name):
        yield from (path for folder in folders if (path := folder / f"{name}.yaml").is_file())


def _unknown(key: str, name: str, folders: Sequence[Path], more: str) -> ParamsError:
    files = {path for folder in folders for path in folder.glob("*.yaml")}
    choices = sorted({path.stem for path in files} - {Path(packaged_project.COMPOSE).stem})
    return ParamsError(key, repr(name), ", ".join(choices) + more, cure=registry.suggest(name, choices))


def _cure(files: Sequence[ParamsFile]) -> str:
    return "" if files[0].extends else "; begin the file with `extends: base`, which has every setting"


def _shown(source: ParamsFile | Given | None, root: Path | None) -> str:
    """Where a value came from, as `sightline params` says it: a file as seen from `root`."""
    if source is None:
        return "empty everywhere"
    if isinstance(source, Given):
        return source.where
    shown = source.path.relative_to(root) if root and source.path.is_relative_to(root) else source.path
    return shown.as_posix()
