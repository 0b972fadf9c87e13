"""The guides name Python modules, commands and tests that exist."""

import ast
import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer.main

from sightline.cli import main as cli
from sightline_lab.cli import main as lab

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted([*(ROOT / "docs" / "guide").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
COMMANDS = set(typer.main.get_command(cli.app).commands)
LAB = set(typer.main.get_command(lab.app).commands)


def imports(text: str) -> list[tuple[str, str]]:
    """(module, name) of every import from sightline in the Python blocks of a document."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M)
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block))]
    found = [
        node for node in nodes if isinstance(node, ast.ImportFrom) and node.module.startswith("sightline")
    ]
    return [(node.module, alias.name) for node in found for alias in node.names]


def exists(module: str, name: str) -> bool:
    return hasattr(importlib.import_module(module), name) or bool(find_spec(f"{module}.{name}"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_imports_of_a_guide_exist(guide):
    named = imports(guide.read_text(encoding="utf-8"))
    assert [(module, name) for module, name in named if not exists(module, name)] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_commands_of_a_guide_exist(guide):
    text = guide.read_text(encoding="utf-8")
    typed = re.findall(r"(?:^|`)sightline (?!lab\b)([a-z][a-z-]+)", text, flags=re.M)
    assert [name for name in typed if name not in COMMANDS | {"lab"}] == []
    assert [
        name
        for name in re.findall(r"(?:^|`)sightline lab ([a-z][a-z-]+)", text, flags=re.M)
        if name not in LAB
    ] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_tests_that_a_guide_names_exist(guide):
    named = re.findall(r"`(tests/[\w/]+\.py)`", guide.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).is_file()] == []
