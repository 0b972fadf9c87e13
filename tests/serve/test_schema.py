"""The published schema is true: it describes every route, and a fuzzer finds no answer that it does not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.serve.app import create_app
from sightline.serve.settings import Limits
from tests.serve.kit import running

CASES = 60  # of each of ten routes
# A picture is a string to a schema, so most bodies that fit the schema are refused for their picture.
LEFT_OUT = "positive_data_acceptance"


def test_every_route_tells_its_answers(model):
    paths = create_app(model).openapi()["paths"]
    assert len(paths) == 10
    for path, methods in paths.items():
        for told in methods.values():
            good = told["responses"].pop("200")
            assert good["content"], path
            assert "422" not in told["responses"], f"{path}: errors have OpenAI's form and status"
            for status, refusal in told["responses"].items():
                schema = refusal["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (path, status)


@pytest.mark.full
def test_a_fuzzer_finds_nothing(model, tmp_path):
    command = [Path(sys.executable).parent / "schemathesis", "run"]
    with running(create_app(model, Limits(batch=4))) as address:
        options = ["-n", str(CASES), "--exclude-checks", LEFT_OUT, "--seed", "7", "--no-color"]
        done = subprocess.run(
            [*command, f"{address}/openapi.json", *options], cwd=tmp_path, capture_output=True,
            text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    assert int(re.search(r"(\d+) generated", done.stdout)[1]) > 500
