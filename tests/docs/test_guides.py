"""The guides name Python modules and commands that exist."""

import ast
import importlib
import re
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


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_imports_of_a_guide_exist(guide):
    for module, name in imports(guide.read_text(encoding="utf-8")):
        found = importlib.import_module(module)
        if not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")


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
