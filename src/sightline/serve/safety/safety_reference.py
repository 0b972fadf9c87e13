"""docs/reference/safety.md, and the JSON schemas that editors check policies and rules by."""

import inspect
import json
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from sightline.core.params import reference
from sightline.core.params.checks import allowed
from sightline.core.params.sections import leaves, section_of
from sightline.serve.safety import policy
from sightline.serve.safety.policy import Policy, RulesFile

DEFAULT = Path("deploy/safety/default.yaml")
HEAD = """# Policies of the safety filters

Written by `sightline params --reference` from the schema in `src/sightline/serve/safety/policy.py` and
`deploy/safety/default.yaml`. How to use them: [the guide](../guide/safety.md).

"""
WHAT = {
    "answer_unsure": "the answer's confidence is below the bound that was fitted on `val`",
    "picture_out_of_domain": "the picture is unlike those of training",
    "question_out_of_domain": "the question is unlike those of training",
    "blocked_word": "an answer, or a caption of a result, holds a word of `blocked_words`",
    "request_too_large": "413: a limit of bytes or pixels; counted only, the error says which in `code`",
    "request_invalid": "400: what the schema or the reading of a picture refuses; counted only, as above",
}


def write(root: Path) -> list[Path]:
    """Write the page and both schemas below `root`; return their paths."""
    folder = root / reference.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "safety.md": markdown(root),
        "safety.schema.json": reference.json_schema(Policy),
        "safety-rules.schema.json": reference.json_schema(RulesFile),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in texts]


def markdown(root: Path) -> str:
    """The page: a table for each section of a policy with the default's values, then the reasons."""
    values = policy.load(str((root / DEFAULT).resolve()))[0].model_dump(mode="json")
    singles = {name: field for name, field in Policy.model_fields.items() if not section_of(field)}
    parts = [HEAD, _table(singles, values, "")]
    for name, field in Policy.model_fields.items():
        if section := section_of(field):
            parts.append(f"\n## {name}\n\n{inspect.getdoc(section)}\n\n")
            parts.append(_table(leaves(section), values[name], f"{name}."))
    parts.append(
        "\n## Reasons\n\nThe vocabulary of `safety.reasons` in responses and of the label `reason` of "
    )
    parts.append("`sightline_safety_decisions_total`.\n\n| reason | what |\n| --- | --- |\n")
    parts += [f"| `{reason}` | {_what(reason)} |\n" for reason in (*policy.REASONS, *policy.LIMIT_REASONS)]
    return "".join(parts)


def _what(reason: str) -> str:
    if reason in WHAT:
        return WHAT[reason]
    section, name = (
        ("questions", reason.removeprefix("question_"))
        if reason in get_args(policy.QuestionReason)
        else ("personal_data", reason.removeprefix("personal_data_"))
    )
    return str(leaves(Policy)[f"{section}.{name}"].description)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _table(fields: dict[str, FieldInfo], values: dict[str, Any], prefix: str) -> str:
    rows = "".join(
        f"| `{prefix}{name}` | {reference.cell(allowed(field))} | `{_plain(values[name])}` "
        f"| {reference.cell(field.description)} |\n"
        for name, field in fields.items()
    )
    return f"| setting | what may stand there | default | what it does |\n| --- | --- | --- | --- |\n{rows}"
