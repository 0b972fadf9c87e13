"""The published schema is true: it describes every route, and a fuzzer finds no answer that it does not."""

import pytest

from sightline.serve.api import create_app
from sightline_lab.load_test import schema_fuzz
from tests.support.serving import deployed, running


def test_every_route_tells_its_answers(model):
    paths = create_app(model, deployed()).openapi()["paths"]
    assert len(paths) == 11
    for path, methods in paths.items():
        for told in methods.values():
            good = told["responses"].pop("200")
            assert good["content"], path
            assert "422" not in told["responses"], f"{path}: errors have OpenAI's form and status"
            for status, refusal in told["responses"].items():
                schema = refusal["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (path, status)


@pytest.mark.parametrize("cases", [100, pytest.param(5000, marks=pytest.mark.full)])
def test_a_fuzzer_finds_nothing(model, cases):
    with running(create_app(model, deployed(batch=4))) as address:
        found, said = schema_fuzz.run(address, cases)
    assert found["faults"] == 0, said[-6000:]
    assert found["cases"] >= cases
