"""No stage that measures reads a file of data, models or metrics that was not verified before: an audit hook
sees every file that it opens, in a project of tiny artifacts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.core import artifacts
from sightline.evaluate import result_files
from tests.support import params_files

ROOT = Path(__file__).resolve().parents[2]
FEW = {
    "evaluate.max_items": 4, "evaluate.bootstrap": 20, "evaluate.splits": ["test"], "red_team.items": 2,
    "red_team.queries": 2, "explain.items": 1, "export.mirrored_views": False,
}  # fmt: skip


def run(here: Path, script: Path) -> dict:
    """What a script read there: how many files, and those that nothing had verified."""
    report = here / "reads.json"
    command = [sys.executable, "-m", "tests.support.verified_reads", report, script]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        command, cwd=here, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(report.read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory, bundle):
    """A project with all that the measuring stages read, of a tiny random model."""
    from sightline.models.vlm import ABSENT
    from tests.evaluate.test_evaluation import EXPORTED, PARITY
    from tests.support import attacked

    here = tmp_path_factory.mktemp("project")
    params_files.write(here, "smoke", FEW)
    _, vqa = attacked.build(here / "data", 8)
    asked = (vqa / "test.jsonl").read_bytes()
    config = artifacts.load(vqa, "vqa").config | {"left_out": []}
    with artifacts.create(vqa, "vqa", config) as folder:
        for split in ("test", "train"):  # an answerer that never looks has read those of train
            (folder / f"{split}.jsonl").write_bytes(asked)
    (here / "models").mkdir()
    shutil.copytree(bundle, here / "models/bundle")
    shutil.copytree(bundle.parent / "onnx", here / "models/onnx")
    with artifacts.create(here / "models/blind", "vlm", ABSENT):
        pass
    with artifacts.create(here / "metrics/export", "metrics", {}) as folder:
        result_files.write_csv(folder / "variants.csv", EXPORTED, list(EXPORTED[0]))
        artifacts.write_json(folder / "parity.json", PARITY)
    with artifacts.create(here / "metrics/compress", "metrics", {}) as folder:
        result_files.write_csv(folder / "table.csv", EXPORTED, list(EXPORTED[0]))
    return here


@pytest.mark.parametrize("stage", ["evaluate", "explain", "red_team", "report", "gate"])
def test_a_stage_reads_what_was_verified(project, stage):
    """In the order of the pipeline: each reads what the earlier ones wrote."""
    found = run(project, ROOT / f"stages/{stage}.py")
    assert found["unverified"] == {}
    assert found["seen"] > 0


VERIFIED = """
load(Path("models/x"), "x")
Path("models/x/a.txt").read_text()
load_weights(Path("models/x/w.safetensors"))
read_json(Path("metrics/told.json")) if sha256(Path("metrics/told.json")) else 0  # its hash is in models/x
sha256(Path("metrics/other.json"))
write_json(Path("metrics/new.json"), 1)
read_json(Path("metrics/new.json"))
Path("elsewhere.json").read_text()
"""
UNVERIFIED = """
Path("models/x/a.txt").read_text()
load_weights(Path("models/x/w.safetensors"))
read_json(Path("metrics/told.json"))
load(Path("models/x"), "x")
sha256(Path("metrics/other.json"))
read_json(Path("metrics/other.json"))
open("metrics/log.txt", "a").close()
open("metrics/log.txt").read()
"""


@pytest.mark.parametrize(
    ("script", "found"),
    [(VERIFIED, []), (UNVERIFIED, ["a.txt", "log.txt", "other.json", "told.json", "w.safetensors"])],
)
def test_the_hook_sees_what_is_not_verified(tmp_path, script, found):
    (tmp_path / "metrics").mkdir()
    for path in ("metrics/told.json", "metrics/other.json", "metrics/log.txt", "elsewhere.json"):
        (tmp_path / path).write_text(f'"{path}"')
    told = {"told": artifacts.sha256(tmp_path / "metrics/told.json")}
    with artifacts.create(tmp_path / "models/x", "x", told) as folder:
        (folder / "a.txt").write_text("1")
        artifacts.save_weights(folder / "w.safetensors", {})
    imports = "from pathlib import Path\nfrom sightline.core.artifacts import *\n"
    (tmp_path / "script.py").write_text(imports + script)
    read = run(tmp_path, tmp_path / "script.py")["unverified"]
    assert sorted(Path(path).name for path in read) == found
