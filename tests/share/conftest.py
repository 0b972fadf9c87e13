"""A small checkout that built and measured the tiny bundle: what push-to-hub reads, without the cost of a
pipeline. tests/pipeline/test_pipeline.py has a whole one."""

import hashlib
import json
import shutil
import subprocess

import pytest
from ruamel.yaml import YAML

from sightline.core import artifacts
from tests.support import exported
from tests.support.command_line import ROOT
from tests.support.mlflow_service import MlflowService

bundle, searching_bundle = exported.bundle, exported.searching_bundle
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]


def md5(data):
    return hashlib.md5(data).hexdigest()


def entry(path, md5):
    return {"path": path, "md5": md5}


def listing(folder):
    """The object by which DVC keeps a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [{"md5": md5(path.read_bytes()), "relpath": path.relative_to(folder).as_posix()} for path in paths]
    return json.dumps(sorted(rows, key=lambda row: row["relpath"])).encode()


def lock(here, reported=""):
    """Writes dvc.lock and DVC's list of models/bundle as `dvc repro` would after all stages. `reported`: the
    older metrics/evaluate that the report was made from."""
    data = listing(here / "models" / "bundle")
    cached = here / ".dvc" / "cache" / "files" / "md5" / md5(data)[:2] / f"{md5(data)[2:]}.dir"
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(data)
    made, metrics = f"{md5(data)}.dir", here / "metrics" / "evaluate"
    evaluated = f"{md5(listing(metrics))}.dir" if metrics.is_dir() else "e.dir"
    attacks = here / "metrics" / "red_team"
    summary = md5((here / "metrics" / "summary.json").read_bytes())
    stages = {
        "index": {"deps": [], "outs": [entry("models/bundle", made)]},
        "evaluate": {
            "deps": [entry("models/bundle", made)], "outs": [entry("metrics/evaluate", evaluated)]
        },
        "report": {
            "deps": [entry("metrics/evaluate", reported or evaluated)],
            "outs": [entry("metrics/summary.json", summary)],
        },
    }  # fmt: skip
    if attacks.is_dir():
        attacked = entry("metrics/red_team", f"{md5(listing(attacks))}.dir")
        stages["red_team"] = {"deps": [entry("models/bundle", made)], "outs": [attacked]}
        stages["report"]["deps"].append(attacked)
    stages = {name: {"cmd": f"python stages/{name}.py"} | stage for name, stage in stages.items()}
    with open(here / "dvc.lock", "w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump({"schema": "2.0", "stages": stages}, file)


def figure(checkout, split, name):
    """Value and interval that the checkout's summary has of the shipped model."""
    cell = artifacts.read_json(checkout / "metrics" / "summary.json")["quality"]["shipped"][split][name]
    return cell["value"], cell["low"], cell["high"]


@pytest.fixture
def checkout(tmp_path, bundle):
    """In git, with the figures of Sightline's own README."""
    here = tmp_path / "checkout"
    shutil.copytree(ROOT / "profiles", here / "profiles")
    for name in ("params.yaml", "dvc.yaml", "resolved.yaml", "LICENSE", "metrics/summary.json"):
        (here / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, here / name)
    shutil.copytree(bundle, here / "models" / "bundle")
    (here / ".gitignore").write_text("/models\n/.dvc\n/dvc.lock\n")
    lock(here)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "built"]):
        subprocess.run([*GIT, *words], cwd=here, check=True)
    return here


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real MLflow server."""
    service = MlflowService(tmp_path_factory.mktemp("mlflow"))
    service.start()
    yield service
    service.close()


@pytest.fixture
def client(server):
    """Of the server, which a test may have stopped."""
    import mlflow

    if not server.runs:
        server.start()
    return mlflow.MlflowClient(server.address)
