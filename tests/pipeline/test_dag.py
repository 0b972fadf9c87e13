"""dvc.yaml against the code: deps are the import closure, params are what a stage reads, stages are thin."""

import ast
import inspect
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sightline.core.params.checks import NO_INPUT
from sightline.core.params.params_files import LOCAL
from sightline.core.params.sections import NOT_RESOLVED, Params
from sightline.core.source_digest import PACKAGE, closure, imports

ROOT = Path(__file__).resolve().parents[2]
SRC = PACKAGE.parent
YAML12 = YAML(typ="safe", pure=True)
DAG = YAML12.load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS = YAML12.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
STAGES = sorted(set(DAG["stages"]) - {"resolve"})


def script(stage: str) -> Path:
    return ROOT / "stages" / f"{stage}.py"


def is_params(node: ast.expr) -> bool:
    """Whether the expression is the whole parameter object: `params` or `self.params`."""
    return getattr(node, "id", None) == "params" or getattr(node, "attr", None) == "params"


def of_properties() -> dict[str, set[str]]:
    """What a property of Params reads of the sections."""
    tree = ast.parse(Path(inspect.getfile(Params)).read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Params")
    return {
        function.name: {
            node.attr
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and node.attr in PARAMS
        }
        for function in body
        if isinstance(function, ast.FunctionDef)
    }


def sections(stage: str) -> set[str]:
    """Top-level keys that the stage's code reads: params.align.epochs -> align."""
    found, properties = set(), of_properties()
    for path in {script(stage), *closure(script(stage))[0]}:
        if path.parent.name == "params":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and is_params(node.value):
                found |= {node.attr} & PARAMS.keys() | properties.get(node.attr, set())
    return found


def reached_rooms(stage: str) -> set[str]:
    return {f"src/sightline/{room(path)}" for path in closure(script(stage))[0]}


@pytest.mark.parametrize("stage", [*STAGES, "resolve"])
def test_code_deps_hold_the_import_closure(stage):
    declared = {dep for dep in DAG["stages"][stage]["deps"] if dep.startswith(("src/", "stages/"))}
    assert declared >= reached_rooms(stage) | {f"stages/{stage}.py"}


def tracked(stage: str) -> set[str]:
    """Top-level keys of resolved.yaml that the stage is rerun by."""
    params = DAG["stages"][stage].get("params", [])
    assert all(list(entry) == ["resolved.yaml"] for entry in params), f"{stage} reads another file of params"
    return {key for entry in params for key in entry["resolved.yaml"]}


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_what_the_stage_reads(stage):
    assert tracked(stage) == sections(stage) - {"profile", *NOT_RESOLVED}


def test_every_leaf_reaches_resolve_and_a_stage():
    """But those that change no result, and `launch`, which is part of a command."""
    assert set(NOT_RESOLVED) == {"engine", "launch", "loader_workers", "tracking"}
    assert set(DAG["stages"]["resolve"]["params"]) == set(PARAMS) - {*NOT_RESOLVED}
    assert "profiles" in DAG["stages"]["resolve"]["deps"]
    used = {key for stage in STAGES for key in tracked(stage)}
    assert used == set(PARAMS) - {"profile", *NOT_RESOLVED}
    commands = {stage: DAG["stages"][stage]["cmd"] for stage in STAGES}
    launched = {stage for stage, command in commands.items() if "stages/launch.py ${launch}" in command}
    assert launched == {"pretrain", "align", "finetune"}
    assert all("${threads}" in commands[stage] for stage in launched)


def test_local_inputs_are_dependencies():
    """Editing a table, a folder of pictures or a weights file reruns the stage that reads it."""
    read = {dep for block in DAG["stages"].values() for dep in block["deps"] if dep.startswith("${")}
    assert read == {f"${{{key}}}" for key in LOCAL}
    assert (ROOT / NO_INPUT).is_file()


@pytest.mark.parametrize("stage", [*STAGES, "resolve"])
def test_stages_are_thin(stage):
    text = script(stage).read_text(encoding="utf-8")
    functions = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert functions == ["main"], "a stage holds one function: load, call the verbs, write"
    assert len(text.splitlines()) <= 60


def test_inputs_of_a_stage_are_outputs_of_earlier_ones():
    outs = {}
    for stage, block in DAG["stages"].items():
        for out in [*block.get("outs", []), *block.get("metrics", [])]:
            outs[out if isinstance(out, str) else next(iter(out))] = stage
    for stage, block in DAG["stages"].items():
        for dep in block["deps"]:
            if not dep.startswith(("src/", "stages/", "profiles", "${")):
                assert dep in outs, f"{stage} reads {dep}, which no stage writes"
    assert len(outs) > len(STAGES)
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for out in outs:
        assert out in ("metrics/summary.json", "resolved.yaml") or "/" + out in ignored, (
            f"{out} is missing from .gitignore"
        )


ROOMS = {  # room -> rooms it may import; lab is the package of experiments, which nobody imports
    "core": set(),
    "data": {"core"},
    "spin": {"core"},
    "models": {"core", "spin"},
    "inference": {"core", "data", "spin", "models"},
    "train": {"core", "data", "spin", "models"},
    "compress": {"core", "data", "spin", "models", "train"},
    "export": {"core", "data", "spin", "models", "inference", "compress"},
    "search": {"core", "data", "inference"},
    "evaluate": {"core", "data", "inference"},
    "share": {"core", "data", "models", "inference", "search", "evaluate"},
    "explain": {"core", "data", "spin", "models", "inference"},
    "audit": {"core", "data", "spin", "models", "inference", "evaluate", "explain"},
}
TOP_ROOMS = {"serve", "cli"}


def room(path: Path) -> str:
    relative = path.relative_to(SRC)
    return (
        relative.parts[1]
        if relative.parts[0] == "sightline" and len(relative.parts) > 2
        else relative.parts[0]
    )


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda p: p.relative_to(SRC).as_posix())
def test_rooms(path):
    own = room(path)
    if own == "sightline_lab":
        return
    allowed = ROOMS.get(own, {*ROOMS, *(TOP_ROOMS if own == "cli" else ())}) | {own}
    wrong = {
        target.relative_to(SRC).as_posix()
        for target in imports(path)
        if target.name != "__init__.py" and room(target) not in allowed
    }
    assert not wrong, f"{own} may not import {wrong}"


def test_modules_of_inference_import_in_one_direction():
    """Imports for types count: a module can be read without those that call it."""
    files = (PACKAGE / "inference").rglob("*.py")
    graph = {path: imports(path) - {path} for path in files if path.name != "__init__.py"}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert set(graph) <= set(order)


def test_no_two_modules_of_the_product_share_a_name():
    """But the same role in sibling folders, as models/text/hf.py and models/vision/hf.py; a source has the
    name of its format, which others may read too; and a method of explanation that of what it looks at."""
    by_name: dict[str, list[Path]] = {}
    for path in (SRC / "sightline").rglob("*.py"):
        if path.name != "__init__.py" and path.parent.name not in ("sources", "methods"):
            by_name.setdefault(path.name, []).append(path)
    shared = {name: paths for name, paths in by_name.items() if len({path.parents[1] for path in paths}) > 1}
    assert by_name and not shared
