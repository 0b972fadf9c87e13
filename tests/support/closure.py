"""What a stage's code reads: its import closure, and the plug-in folders it opens through the registry."""

import ast
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"
PACKAGE = SRC / "sightline"


def module_file(name: str) -> Path | None:
    base = SRC / Path(*name.split("."))
    if base.with_suffix(".py").exists():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").exists() else None


def imports(path: Path) -> set[Path]:
    """Files of the package that `path` imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
            continue
        found |= {module_file(name) for name in names if name.split(".")[0] == "sightline"} - {None}
    return found


def folders(path: Path) -> set[str]:
    """Plug-in folders named in calls of registry.load and registry.names."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("load", "names")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "registry"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def closure(start: Path) -> tuple[set[Path], set[str]]:
    """(files, plug-in folders) that `start` can reach; `__init__.py` files are empty and left out."""
    seen, plugins, todo = set(), set(), [start]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        todo += imports(path)
        if path.name != "registry.py":
            for folder in folders(path):
                if folder not in plugins:
                    plugins.add(folder)
                    todo += sorted((PACKAGE / folder).glob("*.py"))
    return {path for path in seen if path.name != "__init__.py" and path != start}, plugins
