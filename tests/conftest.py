"""Tests import this checkout's package, whatever is installed, and are shared out to pytest-xdist's workers."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

# folders whose conftest.py builds something once a session, the longest first
WHOLE = ("pipeline", "export", "serve", "page")


def group(item: pytest.Item) -> str:
    """The tests that one worker runs together: a folder of `WHOLE`, elsewhere a file."""
    path = item.path.relative_to(HERE)
    return path.parts[0] if path.parts[0] in WHOLE else path.as_posix()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    """No fixture is built by two workers. The long groups come first: the short ones fill the end evenly."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: WHOLE.index(group(item)) if group(item) in WHOLE else len(WHOLE))
