"""The code that a result depends on: the files reachable by imports, and their digest."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def digest(*starts: Path, src: Path = PACKAGE.parent) -> str:
    """sha256 of the content of all code that `starts` (files, or folders for every file in them) can reach:
    equal for two results only if the same code made them. A package's `__init__.py` does not count."""
    files = [file for start in starts for file in (start.rglob("*.py") if start.is_dir() else [start])]
    reached = _reached(files, src)[0]
    record = sorted(
        (file.name, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in reached
        if file.name != "__init__.py"
    )
    return hashlib.sha256(repr(record).encode()).hexdigest()


def folder_digest(folder: Path) -> str:
    """sha256 of every file below a folder of the package, as DVC would take them for a dependency: names and
    contents, templates too, without what Python or an editor leaves. Raises ValueError if there is none."""
    skipped = {"__pycache__", ".DS_Store"}
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not skipped.intersection(path.parts) and path.suffix not in (".pyc", ".tmp")
    ]
    if not paths:
        raise ValueError(
            f"{folder}: dvc.yaml tracks this folder of the package, which has none of that name: install the "
            "version that requirements.txt names"
        )
    record = [
        (path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths
    ]
    return hashlib.sha256(repr(record).encode()).hexdigest()


def closure(start: Path, src: Path = PACKAGE.parent) -> tuple[set[Path], set[str]]:
    """(files, plug-in folders) below `src` that `start` can reach, without itself and `__init__.py` files."""
    reached, plugins = _reached([start], src)
    return {path for path in reached if path.name != "__init__.py" and path != start}, plugins


def _reached(starts: list[Path], src: Path) -> tuple[set[Path], set[str]]:
    packages = set().union(*(_packages(start, src) for start in starts))
    reached: set[Path] = set()
    plugins: set[str] = set()
    todo = list(starts)
    while todo:
        path = todo.pop()
        if path in reached:
            continue
        reached.add(path)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        todo += _imported(tree, packages, src)
        for folder in _plugin_folders(tree) - plugins:
            plugins.add(folder)
            todo += sorted((src / PACKAGE.name / folder).glob("*.py"))
    return reached, plugins


def imports(path: Path, src: Path = PACKAGE.parent) -> set[Path]:
    """Files below `src` that `path` imports anywhere, also inside functions."""
    return _imported(ast.parse(path.read_text(encoding="utf-8")), _packages(path, src), src)


def _packages(start: Path, src: Path) -> set[str]:
    """The product, and the package that `start` is of: other packages of site-packages are left out."""
    start_package = {start.relative_to(src).parts[0]} if start.is_relative_to(src) else set()
    return {PACKAGE.name} | start_package


def _imported(tree: ast.AST, packages: set[str], src: Path) -> set[Path]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    files = (_module_file(name, src) for name in names if name.split(".")[0] in packages)
    return {file for file in files if file is not None}


def _module_file(name: str, src: Path) -> Path | None:
    base = src / Path(*name.split("."))
    if base.with_suffix(".py").exists():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").exists() else None


def _plugin_folders(tree: ast.AST) -> set[str]:
    """Folders named in calls of registry.load and registry.names."""
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("load", "names")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "registry"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }
