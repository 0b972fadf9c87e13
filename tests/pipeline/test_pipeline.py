"""The real pipeline on the smoke profile, through the real DVC, as a user would drive it."""

import hashlib
import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from ruamel.yaml import YAML

from sightline.core.params import edit
from sightline.data import images
from tests.support import command_line, params_files
from tests.support.command_line import ROOT

DOWNSTREAM_OF_SPIN = {"resolve", "index", "explain", "evaluate", "red_team", "report", "gate"}


def test_every_stage_ran_and_a_second_repro_runs_nothing(smoke):
    assert (smoke.path / "models" / "bundle" / "manifest.json").exists()
    summary = json.loads((smoke.path / "metrics" / "summary.json").read_text())
    assert summary
    again = smoke.run("dvc", "repro")
    assert smoke.stages_run(again.stdout) == []
    assert smoke.run("git", "status", "--porcelain").stdout == ""


def test_a_forced_rebuild_gives_the_same_bytes(smoke, tmp_path):
    copy = tmp_path / "again"
    smoke.run("git", "clone", "-q", str(smoke.path), str(copy))
    repo = type(smoke)(copy)
    repo.run("dvc", "repro", "-f")
    assert (copy / "dvc.lock").read_bytes() == (smoke.path / "dvc.lock").read_bytes()
    assert (copy / "metrics" / "summary.json").read_bytes() == (
        smoke.path / "metrics" / "summary.json"
    ).read_bytes()


def test_spin_knobs_retrain_nothing(experiment_repo):
    done = experiment_repo.run("dvc", "exp", "run", "-S", "spin.keep=0.25", "-n", "quarter")
    ran = set(experiment_repo.stages_run(done.stdout))
    assert ran and ran <= DOWNSTREAM_OF_SPIN
    generation = json.loads((experiment_repo.path / "models" / "bundle" / "generation.json").read_text())
    assert 0.25 in json.loads(json.dumps(generation["spin"])).values()
    assert generation["generation"]["method"] == "greedy" and generation["generation"]["candidates"] == 1
    shown = experiment_repo.run("dvc", "exp", "show", "--csv").stdout
    assert "quarter" in shown
    experiment_repo.run("dvc", "plots", "diff", "main", "quarter", "-o", "page")
    page = (experiment_repo.path / "page" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']https?:""", page)
    assert "vegaEmbed" in page and "<img" in page


def test_learning_rate_reaches_training_as_a_float(experiment_repo):
    """`-S lr=1e-5` is written as 1e-05, which YAML 1.1 readers take for a string."""
    experiment_repo.run("dvc", "exp", "run", "-S", "lr=1e-5", "pretrain")
    text = (experiment_repo.path / "params.yaml").read_text()
    assert "lr: 1e-05" in text
    changed = experiment_repo.run("git", "diff", "-U0", "params.yaml").stdout
    assert sum(line.startswith("+") and not line.startswith("+++") for line in changed.splitlines()) == 1
    values = YAML(typ="safe", pure=True).load(text)
    assert values["lr"] == 1e-5
    lock = YAML(typ="safe", pure=True).load((experiment_repo.path / "dvc.lock").read_text())
    assert lock["stages"]["pretrain"]["params"]["resolved.yaml"]["lr"] == 1e-5


def test_a_colleague_reuses_the_run_through_a_remote(smoke, tmp_path):
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    smoke.run("git", "clone", "-q", str(smoke.path), str(clone))
    mine = type(smoke)(smoke.path)
    mine.run("dvc", "remote", "add", "--local", "-d", "shared", str(remote))
    mine.run("dvc", "push", "--run-cache")
    theirs = type(smoke)(clone)
    theirs.run("dvc", "remote", "add", "--local", "-d", "shared", str(remote))
    done = theirs.run("dvc", "repro", "--pull")
    assert theirs.stages_run(done.stdout) == []
    assert (clone / "models" / "bundle" / "manifest.json").exists()


@pytest.mark.parametrize(
    "edit, culprit",
    [
        ("seed: 7\nsed: 3", "sed"),
        ("seed: seven", "seed"),
        ("seed:", "seed"),
    ],
)
def test_a_wrong_params_file_stops_the_first_stage(smoke, tmp_path, edit, culprit):
    params_files.write(tmp_path)
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("seed: 7", edit, 1), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages" / "download.py")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert culprit in done.stderr and "params.yaml" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def sightline(repo, *words):
    return command_line.run(repo.path, *words, torch=False)


def test_ask_and_search_run_without_torch(smoke):
    asked = sightline(smoke, "ask", "--json")
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["answer"] and asked.stderr == ""
    assert answer["out_of_domain"] is False and 0 <= answer["confidence"] <= 1
    found = sightline(smoke, "search", "a red cube", "--json")
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)["results"]) == 5


def test_ask_chooses_among_descriptions(smoke):
    asked = sightline(smoke, "ask", "--candidates", "3", "--contrast", "1", "--json")
    assert asked.returncode == 0 and asked.stderr == "", asked.stderr
    said = json.loads(asked.stdout)
    assert said["answer"] == max(said["candidates"], key=said["candidates"].get)
    shown = sightline(smoke, "ask", "--candidates", "3", "--contrast", "1")
    assert f"A: {said['answer']} " in shown.stdout and "likeness" in shown.stdout
    refused = sightline(smoke, "ask", "models/bundle/examples/test-00000.png", "How many?", "--contrast", "1")
    assert refused.returncode == 2 and "are for descriptions" in refused.stderr


def test_a_picture_out_of_domain_gets_a_warning_and_stays_answered(smoke, tmp_path):
    (tmp_path / "odd").mkdir()
    for number in range(3):
        rgb = np.random.default_rng(number).integers(0, 256, (50, 70, 3), dtype=np.uint8)
        (tmp_path / "odd" / f"{number}.png").write_bytes(images.encode(rgb)[0])
    odd, example = str(tmp_path / "odd" / "0.png"), "models/bundle/examples/test-00000.png"
    asked = sightline(smoke, "ask", odd, "Is there a tree?", "--json")
    said = json.loads(asked.stdout)
    assert said["out_of_domain"] is True and said["answer"] and said["sure"] is False
    assert said["question_out_of_domain"] is False
    found = sightline(smoke, "search", odd, "--json")
    assert json.loads(found.stdout)["domain_score"] == said["domain_score"]
    for done in (asked, found):
        assert done.returncode == 0 and done.stderr.count("\n") == 1
        assert "unlike the pictures the model was trained on" in done.stderr
    known = sightline(smoke, "search", example, "--json")
    assert json.loads(known.stdout)["out_of_domain"] is False and known.stderr == ""

    foreign = sightline(smoke, "ask", example, "Is there a cup?", "--json")
    said = json.loads(foreign.stdout)
    assert (said["question_out_of_domain"], said["out_of_domain"], said["sure"]) == (True, False, False)
    assert "no word 'cup' was in them" in foreign.stderr and foreign.stderr.count("\n") == 1

    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for path in (tmp_path / "odd").iterdir():
            archive.write(path, path.name)
    figures = []
    for path in (tmp_path / "odd", tmp_path / "odd.zip"):
        out = tmp_path / f"{path.name}.json"
        done = sightline(smoke, "out-of-domain", str(path), "-o", str(out))
        assert done.returncode == 0, done.stderr
        assert "100.0 % of 3 pictures would get the warning" in done.stdout
        figures.append(json.loads(out.read_text()))
    assert figures[0] == figures[1] | {"name": "odd"}
    assert (figures[0]["own_pictures"], figures[0]["unreadable"]) == (48, 0)
    assert figures[0]["auroc"]["value"] == 100


def test_a_corrupt_bundle_is_refused_by_name(smoke, tmp_path):
    import shutil

    bundle = tmp_path / "bundle"
    shutil.copytree(smoke.path / "models" / "bundle", bundle)
    graph = bundle / "onnx" / "decoder.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.chmod(0o644)
    graph.write_bytes(bytes(data))
    done = sightline(smoke, "ask", "--bundle", str(bundle))
    assert done.returncode == 2
    assert "decoder.onnx" in done.stderr and "Traceback" not in done.stderr


def test_a_sabotaged_model_fails_the_gate_by_name(experiment_repo):
    """The shipped decoder loses its weights: what evaluate, report and gate then say of it."""
    import shutil

    import onnx

    repo, bundle = experiment_repo, experiment_repo.path / "models" / "bundle"
    own = repo.path / "own"
    shutil.copytree(bundle, own)  # the cache's files must stay as they are
    shutil.rmtree(bundle)
    own.rename(bundle)
    graph, manifest = bundle / "onnx" / "decoder.onnx", bundle / "manifest.json"
    model = onnx.load(graph)
    for tensor in model.graph.initializer:
        if len(tensor.dims) > 1 and tensor.raw_data:
            tensor.raw_data = bytes(len(tensor.raw_data))
    graph.chmod(0o644)
    onnx.save(model, graph)
    listed = json.loads(manifest.read_text())
    listed["files"]["onnx/decoder.onnx"] = hashlib.sha256(graph.read_bytes()).hexdigest()
    manifest.chmod(0o644)
    manifest.write_text(json.dumps(listed))
    params = repo.path / "params.yaml"
    edit.fill(params, {"gate.max_accuracy_drop": 1.5})
    for stage in ("resolve", "evaluate", "report"):
        repo.run(sys.executable, f"stages/{stage}.py")
    done = repo.run(sys.executable, "stages/gate.py", ok=False)
    shipped = json.loads((repo.path / "models" / "onnx" / "config.json").read_text())["shipped"]
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAILED: shipped ({shipped}) vqa_accuracy loss against fp32 (95 % bound) is " in done.stdout
    verdict = json.loads((repo.path / "metrics" / "gate" / "gate.json").read_text())
    failed = {check["figure"] for check in verdict["checks"] if not check["passed"]}
    assert not verdict["passed"] and "vqa_accuracy loss against fp32 (95 % bound)" in failed


def test_ask_before_anything_is_built_names_the_command(tmp_path):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    assert "dvc repro" in command_line.run(tmp_path, "ask", code=2).stderr
