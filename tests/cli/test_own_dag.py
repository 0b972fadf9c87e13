"""dvc.yaml of a user's repository: this project's own, with hashes of the package for its code deps."""

from pathlib import Path

from ruamel.yaml import YAML

from sightline.cli.new_repository import own_dag

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
CODE = "src/sightline/"


def parsed(text: str) -> dict:
    return YAML(typ="safe", pure=True).load(text)


def test_only_code_deps_change():
    """Undoing what `rewrite` did gives the project's own DAG back, whatever its stages are."""
    own, project = parsed(own_dag.rewrite(TEXT)), parsed(TEXT)
    assert "src/" not in own_dag.rewrite(TEXT)
    for name, stage in own["stages"].items():
        of_project = project["stages"][name]
        code = [dep.removeprefix(CODE) for dep in of_project["deps"] if dep.startswith(CODE)]
        assert [dep for dep in of_project["deps"] if not dep.startswith(CODE)] == stage["deps"]
        if name == "resolve":
            assert stage.pop("always_changed") is True
        else:
            tracked = stage["params"][0]["resolved.yaml"]
            assert [leaf for leaf in tracked if leaf.startswith("code.")] == [f"code.{room}" for room in code]
            stage["params"][0]["resolved.yaml"] = [leaf for leaf in tracked if not leaf.startswith("code.")]
            if not stage["params"][0]["resolved.yaml"]:
                del stage["params"]
        assert {**stage, "deps": of_project["deps"]} == of_project
    assert {**own, "stages": {}} == {**project, "stages": {}}
    assert list(own["stages"]) == list(project["stages"])


def test_every_stage_but_resolve_tracks_code():
    own = parsed(own_dag.rewrite(TEXT))["stages"]
    for name in set(own) - {"resolve"}:
        assert "code.core" in own[name]["params"][0]["resolved.yaml"], name
