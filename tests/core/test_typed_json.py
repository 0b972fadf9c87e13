"""JSON from anywhere: what a schema takes is what the code gets, anything else is a sentence."""

import json

import pytest

from sightline.core import artifacts, typed_json
from sightline.core.params.checks import Count


class Sizes(typed_json.Described):
    width: Count
    grid: tuple[int, int] = (1, 1)


def read(path, text):
    path.write_text(text)
    return typed_json.read(path, Sizes, "make it again")


def test_keys_of_others_are_left_alone(tmp_path):
    found = read(tmp_path / "a.json", '{"width": 3, "grid": [2, 4], "theirs": {"a": 1}}')
    assert (found.width, found.grid) == (3, (2, 4))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "the file"), ("{}", "width: Field required"), ('{"width": 0}', "width: .*got 0"),
        ('{"width": true}', "width"), ('{"width": "3"}', "width: .*got \'3\'"),
        ('{"width": 3, "grid": [1]}', "grid"), (json.dumps({"width": "a" * 10**6}), r"got 'a+\.\.\.;"),
        ("[" * 100_000, "damaged file"), ("NaN", "damaged file"), ("1" * 10_000, "damaged file"),
    ],
)  # fmt: skip
def test_another_form_is_told_in_a_sentence(tmp_path, text, told):
    with pytest.raises(ValueError, match=told) as caught:
        read(tmp_path / "a.json", text)
    assert str(tmp_path / "a.json") in str(caught.value) and len(str(caught.value)) < 500


def test_a_file_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "MAX_JSON", 10)
    with pytest.raises(artifacts.ArtifactError, match="at most 10 bytes, found 14"):
        read(tmp_path / "a.json", '{"width": 300}')
