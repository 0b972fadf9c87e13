"""The reference page of the parameters and the JSON schema that editors complete and check params.yaml by."""

import inspect
import json
from pathlib import Path
from typing import Any

from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from sightline.core import registry
from sightline.core.params.checks import PlugIn, allowed
from sightline.core.params.params_files import read_top
from sightline.core.params.sections import Params, leaves, section_of

FOLDER = Path("docs/reference")
HEAD = """# Parameters

Written by `sightline params --reference` from the schema in `src/sightline/core/params/`.

Every leaf stands in `params.yaml`, empty or filled. An empty one takes its value from \
`profiles/<profile>.yaml`, or from the profile which that one `extends`.
Set any of them for one experiment: `dvc exp run -S lr=1e-4`.

"""


def write(root: Path) -> list[Path]:
    """Write both files below `root`; return their paths."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    page, schema = root / FOLDER / "params.md", root / FOLDER / "params.schema.json"
    page.write_text(markdown(root), encoding="utf-8", newline="\n")
    schema.write_text(json_schema(), encoding="utf-8", newline="\n")
    return [page, schema]


def markdown(root: Path) -> str:
    """Return the page: a table for each section; defaults are those of params.yaml below `root`."""
    defaults = read_top(root / "params.yaml").filled()
    singles = {name: field for name, field in Params.model_fields.items() if not section_of(field)}
    parts = [HEAD, _table(singles, "", defaults)]
    for name, field in Params.model_fields.items():
        section = section_of(field)
        if section:
            parts.append(f"\n## {name}\n\n{inspect.getdoc(section)}\n\n")
            parts.append(_table(leaves(section), f"{name}.", defaults))
    return "".join(parts)


def json_schema(model: type[BaseModel] = Params) -> str:
    """Return the JSON schema of params.yaml and of a profile, or of other settings in files that extend each
    other: any leaf may be empty or absent."""
    schema = model.model_json_schema()
    blocks = [*schema["$defs"].values(), schema]
    for block in blocks:
        block.pop("required", None)
        block.pop("title", None)
        for leaf, rule in block["properties"].items():
            if "$ref" not in rule:
                block["properties"][leaf] = _may_be_empty(rule)
    for key, field in leaves(model).items():
        choices = _choices(field)
        if choices:
            section, leaf = key.split(".")
            rule = schema["$defs"][_definition(schema, section)]["properties"][leaf]
            rule["anyOf"][0]["enum"] = choices
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "another file of the folder, whose leaves it takes",
    }
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def _table(fields: dict[str, FieldInfo], prefix: str, defaults: dict[str, Any]) -> str:
    rows = [
        "| leaf | what may stand there | in params.yaml | what it does |\n",
        "| --- | --- | --- | --- |\n",
    ]
    for name, field in fields.items():
        key = prefix + name
        default = f"`{_plain(defaults[key])}`" if key in defaults else "by profile"
        rows.append(f"| `{key}` | {cell(allowed(field))} | {default} | {cell(field.description)} |\n")
    return "".join(rows)


def _plain(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value or "''"


def cell(text: str | None) -> str:
    """Return a text as it stands in a table of Markdown."""
    return (text or "").replace("|", "\\|").replace("<", "&lt;")


def _may_be_empty(rule: dict[str, Any]) -> dict[str, Any]:
    outer = {key: rule.pop(key) for key in ("description",) if key in rule}
    rule = {key: value for key, value in rule.items() if key not in ("title", "default")}
    options = rule["anyOf"] if "anyOf" in rule else [rule]
    return outer | {
        "anyOf": [option for option in options if option != {"type": "null"}] + [{"type": "null"}]
    }


def _choices(field: FieldInfo) -> list[str]:
    rules = [rule.func for rule in field.metadata if isinstance(rule, AfterValidator)]
    return [
        name
        for rule in rules
        if isinstance(rule, PlugIn)
        for name in registry.names(rule.folder, rule.pattern)
    ]


def _definition(schema: dict[str, Any], section: str) -> str:
    return schema["properties"][section]["$ref"].rsplit("/", 1)[1]
