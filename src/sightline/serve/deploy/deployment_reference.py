"""The reference page of the settings of a server, and the JSON schema that editors check deploy/*.yaml by."""

import inspect
import json
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from sightline.core.params import reference
from sightline.core.params.checks import allowed
from sightline.core.params.sections import leaves, section_of
from sightline.serve.deploy import environments
from sightline.serve.deploy.deployment import Deployment

ENVIRONMENTS = ("dev", "staging", "prod")
HEAD = """# Settings of the server

Written by `sightline params --reference` from the schema in `src/sightline/serve/deploy/` and the files of
`deploy/`.

Where a setting comes from: an option of `sightline serve` wins over an environment variable, that over the
file of `--env` (`dev` where none is named), that over the file which it `extends`. The variable of a setting
is its name in capitals, `__` for each dot, after `SIGHTLINE_SERVE__`: `limits.queue` is
`SIGHTLINE_SERVE__LIMITS__QUEUE`. `sightline serve --env prod --print-config` prints every value
and its origin.

"""


def write(root: Path) -> list[Path]:
    """Write both files below `root`; return their paths."""
    (root / reference.FOLDER).mkdir(parents=True, exist_ok=True)
    page, schema = (root / reference.FOLDER / f"deploy.{ending}" for ending in ("md", "schema.json"))
    page.write_text(markdown(root), encoding="utf-8", newline="\n")
    schema.write_text(reference.json_schema(Deployment), encoding="utf-8", newline="\n")
    return [page, schema]


def markdown(root: Path) -> str:
    """Return the page: a table for each section, with the values of the environments as seen from `root`."""
    values = [_values(name, root) for name in ENVIRONMENTS]
    singles = {name: field for name, field in Deployment.model_fields.items() if not section_of(field)}
    parts = [HEAD, _table(singles, values)]
    for name, field in Deployment.model_fields.items():
        if section := section_of(field):
            parts.append(f"\n## {name}\n\n{inspect.getdoc(section)}\n\n")
            parts.append(_table(leaves(section), [one[name] for one in values], f"{name}."))
    return "".join(parts)


def _values(env: str, root: Path) -> dict[str, Any]:
    values = environments.load(env, root).model_dump(mode="json")
    if values["safety"] is not None:
        values["safety"] = Path(values["safety"]).relative_to(root.resolve()).as_posix()
    return values


def _table(fields: dict[str, FieldInfo], values: list[dict[str, Any]], prefix: str = "") -> str:
    rows = [
        f"| setting | what may stand there | {' | '.join(ENVIRONMENTS)} | what it does |\n",
        f"| --- | --- | {' | '.join('---' for _ in ENVIRONMENTS)} | --- |\n",
    ]
    for name, field in fields.items():
        given = " | ".join(_plain(one[name]) for one in values)
        words = reference.cell(allowed(field)), reference.cell(field.description)
        rows.append(f"| `{prefix}{name}` | {words[0]} | {given} | {words[1]} |\n")
    return "".join(rows)


def _plain(value: Any) -> str:
    if value is None:
        return "empty"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"
