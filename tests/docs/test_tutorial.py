"""docs/guide/tutorial.ipynb: whole, portable, true to the library; and, in the full suite, executed."""

import ast
import importlib
import os
import re
from pathlib import Path
from types import ModuleType

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "guide" / "tutorial.ipynb"
STEPS = ("data", "rnn", "mlm", "attention", "image", "fusion", "alignment", "decoder", "spin", "compression")
MOST_BYTES = 1_500_000  # what GitHub still shows
CELL_S = 900  # a limit on a hung kernel, not on a slow machine


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(TUTORIAL, as_version=4)


def code(notebook) -> str:
    """The code of all cells, without magics."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join(line for cell in cells for line in cell.splitlines() if not line.startswith("%"))


def prose(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_it_is_a_valid_notebook_that_github_shows(notebook):
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert TUTORIAL.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_a_heading_a_picture_and_a_checked_number(notebook, step):
    assert f'<a id="{step}"></a>' in prose(notebook) and f"](#{step})" in prose(notebook)
    own = [cell for cell in notebook.cells if cell.id.split("-")[0] == step and cell.cell_type == "code"]
    shown = [output.get("data", {}) for cell in own for output in cell.outputs]
    assert any("image/png" in data for data in shown)
    assert any(cell.id == f"{step}-check" and "assert " in cell.source for cell in own)
    said = "".join(o.text for cell in own for o in cell.outputs if o.output_type == "stream")
    assert re.search(r"\d", said)


def test_stored_outputs_are_whole_and_name_no_machine(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", cell.id
    text = TUTORIAL.read_text(encoding="utf-8")
    assert not re.search(r'(?<![\w.)"/:])/(home|root|tmp|work|Users|usr|var|mnt|opt)/', text)
    assert str(ROOT) not in text and "execution" not in notebook.cells[0].metadata


def test_every_name_taken_from_sightline_exists(notebook):
    """Imported names, and what is used of imported modules (`variants.calibrate`)."""
    tree, found, modules = ast.parse(code(notebook)), 0, {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "sightline":
            parent = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(parent, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                value = getattr(parent, alias.name)
                found += 1
                if isinstance(value, ModuleType):
                    modules[alias.asname or alias.name] = value
    used = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }
    assert found > 20 and len(used) > 10
    assert [f"{name}.{attr}" for name, attr in sorted(used) if not hasattr(modules[name], attr)] == []


@pytest.mark.full
def test_it_runs_and_its_own_checks_hold(notebook, tmp_path, monkeypatch):
    """Every step asserts its number: losses fall, recall is far above chance, seeing beats guessing."""
    source = str(ROOT / "src")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=CELL_S, record_timing=False, resources=resources).execute()
    checked = [cell for cell in notebook.cells if cell.id.endswith("-check")]
    assert len(checked) == len(STEPS) and all(cell.execution_count for cell in checked)
