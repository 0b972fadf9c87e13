"""docs/reference: page and schema are those of the code; editors accept what the loader accepts."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from sightline.core.params import reference
from sightline.core.params.sections import leaves

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/reference/params.schema.json").read_text(encoding="utf-8"))


def test_the_files_are_up_to_date():
    """Else: sightline params --reference"""
    assert (ROOT / "docs/reference/params.md").read_text(encoding="utf-8") == reference.markdown(ROOT)
    assert (ROOT / "docs/reference/params.schema.json").read_text(encoding="utf-8") == reference.json_schema()


def test_the_page_says_what_every_leaf_is():
    rows = [line.split(" | ") for line in reference.markdown(ROOT).splitlines() if line.startswith("| `")]
    assert [row[0].strip("| `") for row in rows] == list(leaves())
    assert all(len(row) == 4 and all(cell.strip(" |") for cell in row) for row in rows)
    page = {row[0].strip("| `"): row[1:] for row in rows}
    assert page["align.dropout"][:2] == ["a finite number in [0, 1)", "by profile"]
    assert page["export.opset"][:2] == ["an integer in [18, 23]", "`20`"]
    assert page["spin.layers"][0] == "a list, each an integer >= 0"


@pytest.mark.parametrize("path", ["params.yaml", *sorted(p.name for p in (ROOT / "profiles").glob("*.yaml"))])
def test_the_schema_accepts_the_files_of_the_project(path):
    file = ROOT / path if path == "params.yaml" else ROOT / "profiles" / path
    errors = jsonschema.validators.validator_for(SCHEMA)(SCHEMA).iter_errors(
        YAML(typ="safe", pure=True).load(file)
    )
    assert [error.message for error in errors] == []


@pytest.mark.parametrize(
    "wrong", [{"lr": "fast"}, {"align": {"loss": "mlm"}}, {"align": {"dropout": 1}}, {"algin": {}}]
)
def test_the_schema_refuses_what_the_loader_refuses(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)
