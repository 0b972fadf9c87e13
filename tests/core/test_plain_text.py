"""What may steer a terminal is taken out of texts, and nothing else is."""

import re
from pathlib import Path

import pytest

from sightline.core.plain_text import plain

CLI = Path(__file__).resolve().parents[2] / "src" / "sightline" / "cli"


@pytest.mark.parametrize(
    "sign", ["\x1b", "\x07", "\x00", "\r", "\x9b", "\x7f", "\u202e", "\u2066", "\u2028", "\ud800"]
)
def test_a_sign_that_steers_is_replaced(sign):
    assert plain(f"a{sign}[2Jb") == "a\ufffd[2Jb"


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\tand a tab",
        "na\u00efve \u732b",
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "\u0645\u06cc\u200c",
    ],
)
def test_texts_of_people_stay(text):
    assert plain(text) == text


def test_the_commands_print_through_it_alone():
    """But for JSON on stdout, which escapes everything beyond ASCII."""
    printing = [path.name for path in CLI.glob("*.py") if re.search(r"typer\.echo\(", path.read_text())]
    assert printing == ["app.py"]
