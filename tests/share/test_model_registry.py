"""From a bundle that passed its gate to a released version, with a real `mlflow server`: registered with its
evidence, promoted or refused by it, loaded by MLflow, served by name."""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.core import artifacts
from sightline.core.params import edit
from sightline.evaluate.red_team import red_team_figures
from sightline.evaluate.red_team.red_team_figures import FamilyFigures, PerPicture, Rate, RedTeamFigures
from tests.evaluate.test_paired_pictures import PICTURES, measured
from tests.share.conftest import lock
from tests.support import command_line, scripted
from tests.support.mlflow_service import environment, needs_server
from tests.support.serving import free_port

pytestmark = needs_server
ATTACKED = 200
LOAD = """
import sys
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pandas.DataFrame([{"image": sys.argv[2], "question": "Is there a red ball?"}])
print(model.predict(rows).to_json(orient="records"))
import sightline
print(sightline.__file__)
"""


def attacked(succeeding: dict[str, int]) -> RedTeamFigures:
    """What a red team found, on the same pictures."""
    rate = Rate(value=0.0, low=0.0, high=0.0)  # a promotion reads what was counted of each picture
    families = {
        name: FamilyFigures(
            attack="a", success="s", n=ATTACKED, pictures=ATTACKED, success_rate=rate,
            per_picture=PerPicture(
                pictures=[f"{picture:032x}" for picture in range(ATTACKED)], tried=[1] * ATTACKED,
                succeeded=[int(picture < count) for picture in range(ATTACKED)],
            ),
        )
        for name, count in succeeding.items()
    }  # fmt: skip
    settings = {"items": ATTACKED, "seed": 7, "epsilon": 8, "queries": 30}
    return RedTeamFigures(version=1, split="test", bundle="b" * 64, settings=settings, families=families)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """What the evaluation wrote of a good and of a sabotaged model, on the same pictures, and of the good one
    on others."""
    folder = tmp_path_factory.mktemp("evidence")
    data = scripted.build(folder / "data", PICTURES)
    other = scripted.build(folder / "other", PICTURES, extra=" and nothing else")
    return {
        "good": measured(folder / "good", data, False),
        "bad": measured(folder / "bad", data, True),
        "elsewhere": measured(folder / "elsewhere", other, False),
    }


@pytest.fixture
def release(checkout, server, evidence, tmp_path):
    """Runs a command in a checkout whose bundle was measured. `server` has a model for each test."""
    name = tmp_path.name.replace("_", "-")

    def build(kind: str, mark: str = "", attacks: dict[str, int] | None = None) -> None:
        """The bundle of a build, with what was measured of it; `mark` makes it another bundle. `attacks`: of
        each family, on how many of ATTACKED pictures it succeeds; None: nothing was attacked."""
        bundle = checkout / "models" / "bundle"
        with artifacts.create(checkout / "metrics" / "evaluate", "metrics", {}) as folder:
            shutil.copytree(evidence[kind], folder, dirs_exist_ok=True)
        if attacks is None:
            shutil.rmtree(checkout / red_team_figures.FOLDER, ignore_errors=True)
        else:
            with artifacts.create(checkout / red_team_figures.FOLDER, "metrics", {}) as folder:
                red_team_figures.write(folder, attacked(attacks))
        if mark:
            before = artifacts.load(bundle, "bundle")
            with artifacts.create(bundle, "bundle", {**before.config, "mark": mark}) as folder:
                beside = shutil.ignore_patterns("manifest.json", "config.json")
                shutil.copytree(before.path, folder, dirs_exist_ok=True, ignore=beside)
        lock(checkout)

    def run(*words, code=0):
        env = environment() | command_line.environment(MLFLOW_TRACKING_URI=server.address, HOME=str(tmp_path))
        env |= {"MLFLOW_EXPERIMENT_NAME": name}
        command = command_line.command(*words, torch=False)
        done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)
        assert "Traceback" not in done.stderr and done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    run.build, run.name, run.home, run.checkout = build, name, tmp_path, checkout
    build("good")
    return run


def aliases(client, release):
    return {name: int(number) for name, number in client.get_registered_model(release.name).aliases.items()}


def test_a_bundle_is_one_version_with_its_lineage(release, client):
    said = release("register")
    assert f"register: {release.name} version 1, built by run" in said
    assert "sightline promote 1 staging" in said
    assert "version 1 already; nothing was changed" in release("register")
    (version,) = client.search_model_versions(f"name = '{release.name}'")
    bundle = artifacts.load(release.checkout / "models" / "bundle", "bundle")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=release.checkout, capture_output=True, text=True
    )
    assert version.tags["sightline.bundle"] == bundle.digest()
    assert version.tags["sightline.git_commit"] == commit.stdout.strip()
    assert version.tags["sightline.data"] == bundle.config["data"]["sha256"]
    assert client.get_run(version.run_id).data.tags["mlflow.source.git.commit"] == commit.stdout.strip()


def test_the_first_and_the_same_are_promoted_and_a_sabotaged_one_is_refused(release, client):
    release("register")
    assert "is production now, the first one" in release("promote", "1", "production")
    assert "is production already" in release("promote", "1", "production")
    release.build("bad", "sabotaged")
    assert f"{release.name} version 2" in release("register")
    said = release("promote", "2", "production", code=2)
    assert "version 2 is worse than version 1" in said
    assert re.search(r"vqa_accuracy loss against version 1 \(95 % bound\) is 100, must be at most 1.5", said)
    assert "which is 98.5 points too much" in said
    assert aliases(client, release) == {"production": 1}
    assert "is staging now, the first one" in release("promote", "2", "staging")
    release.build("good", "mended")
    release("register")
    said = release("promote", "3", "production")
    assert f"is production now, instead of version 1: compared over {PICTURES} test pictures" in said
    assert aliases(client, release) == {"production": 3, "staging": 2}


def test_models_of_other_test_pictures_are_not_compared(release, client):
    release("register")
    release("promote", "1", "production")
    release.build("elsewhere", "other data")
    release("register")
    assert "were measured on other test pictures" in release("promote", "2", "production", code=2)
    assert aliases(client, release) == {"production": 1}


def test_a_version_that_attacks_take_in_more_often_is_refused(release, client):
    release.build("good", "first", {"typographic": 20, "occlusion": 10})
    release("register")
    release("promote", "1", "production")
    release.build("good", "weaker", {"typographic": 60, "occlusion": 10})
    release("register")
    said = release("promote", "2", "production", code=2)
    assert "version 2 is worse than version 1" in said
    worse = (
        r"typographic attack success above that of version 1 \(95 % at least\) is (\S+), must be at most 1.5"
    )
    points = float(re.search(rf"{worse}, which is \S+ points too much", said)[1])
    assert 10 < points < 20 and "occlusion" not in said  # 20 points more, less the interval
    assert aliases(client, release) == {"production": 1}
    release.build("good", "as strong", {"typographic": 22, "occlusion": 8})
    release("register")
    said = release("promote", "3", "production")
    assert "passed: version 3 occlusion attack success above that of version 1" in said
    assert aliases(client, release) == {"production": 3}


def test_a_version_without_red_team_figures_is_promoted_and_says_so(release, client):
    release("register")
    release("promote", "1", "production")
    release.build("good", "attacked", {"typographic": 20})
    release("register")
    said = release("promote", "2", "production")
    assert "not tested: version 2 red-team figures: version 1 has none" in said
    assert aliases(client, release) == {"production": 2}


def test_changed_figures_of_the_red_team_are_not_registered(release):
    release.build("good", "attacked", {"typographic": 20})
    path = release.checkout / red_team_figures.FOLDER / red_team_figures.FILE
    path.write_text(path.read_text().replace("typographic", "occlusion"), encoding="utf-8")
    assert "metrics/red_team is not what dvc.lock records" in release("register", code=2)
    shutil.rmtree(path.parent)
    assert "metrics/red_team is not what dvc.lock records" in release("register", code=2)


def test_what_did_not_pass_the_gate_is_not_registered(release, client):
    edit.fill(release.checkout / "params.yaml", {"gate.min_vqa_accuracy": 100.0})
    said = release("register", code=2)
    assert "the quality gate did not pass, nothing was registered" in said and "vqa_accuracy" in said
    assert client.search_model_versions(f"name = '{release.name}'") == []


def test_a_change_of_what_was_measured_is_noticed(release):
    path = release.checkout / "metrics" / "evaluate" / "per_picture-test.json"
    path.write_text(path.read_text().replace("3.0", "9.0"), encoding="utf-8")
    said = release("register", code=2)
    assert "metrics/evaluate is not what dvc.lock records" in said


def test_a_version_that_is_not_there_is_named(release):
    release("register")
    assert "version=9" in release("promote", "9", "staging", code=2)
    assert "expected models:/NAME@ALIAS" in release("serve", "--model", "somewhere", code=2)
    said = release("serve", "--model", f"models:/{release.name}@production", code=2)
    assert "alias production not found" in said


def test_mlflow_loads_a_version_and_it_answers(release, server):
    """In a process that has Sightline from the version alone."""
    release("register")
    example = next(iter(sorted((release.checkout / "models/bundle/examples").glob("*.png"))))
    picture = base64.b64encode(example.read_bytes()).decode()
    env = environment() | {"MLFLOW_TRACKING_URI": server.address, "PYTHONPATH": ""}
    command = [sys.executable, "-c", LOAD, f"models:/{release.name}/1", picture]
    done = subprocess.run(command, cwd=release.home, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers, code = done.stdout.splitlines()[-2:]
    (row,) = json.loads(answers)
    assert row["answer"] and 0 <= row["confidence"] <= 1 and row.keys() >= {"sure", "out_of_domain"}
    asked = command_line.run(
        release.checkout, "ask", "--json", example, "Is there a red ball?", torch=False, code=0
    )
    assert row["answer"] == json.loads(asked.stdout)["answer"]
    assert not Path(code).is_relative_to(command_line.ROOT)


def test_a_released_model_is_served_by_name_and_a_changed_one_is_not(release, server):
    release("register")
    release("promote", "1", "production")
    address = f"models:/{release.name}@production"
    env = environment() | command_line.environment(MLFLOW_TRACKING_URI=server.address, HOME=str(release.home))
    command = command_line.command("serve", "--model", address, "--port", free_port(), torch=False)
    process = subprocess.Popen(command, cwd=release.home, env=env, stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "answers as OpenAI's API" in line:
                break
        assert f"serve: {address} is {release.name} version 1, in" in "".join(lines)
        assert "answers as OpenAI's API" in lines[-1]
    finally:
        process.terminate()
        process.wait()
    cached = next((release.home / ".cache" / "sightline" / "models").iterdir())
    bundle = artifacts.load(release.checkout / "models" / "bundle", "bundle")
    assert cached.name == bundle.digest() and artifacts.load(cached, "bundle").digest() == bundle.digest()

    shutil.rmtree(cached)
    (kept,) = (path for path in server.folder.glob("artifacts/**/bundle/generation.json")
               if path.read_bytes() == (bundle.path / "generation.json").read_bytes()
               and release.name in owner(server, path))  # fmt: skip
    kept.write_bytes(kept.read_bytes() + b" ")
    said = release("serve", "--model", address, code=2)
    assert "generation.json: expected sha256" in said and not cached.exists()


def owner(server, path: Path) -> str:
    """The name of the experiment that a kept file belongs to."""
    import mlflow

    experiment = path.relative_to(server.folder / "artifacts").parts[0]
    return mlflow.MlflowClient(server.address).get_experiment(experiment).name
