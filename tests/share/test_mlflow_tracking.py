"""What MLflow and TensorBoard are told of a build: real `dvc repro`, a real `mlflow server`, killed and
restarted. The stages are small; what they record is what the pipeline's stages record."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from sightline import TELEMETRY_OFF
from sightline.core import artifacts, tracking_outbox
from tests.support import command_line, params_files
from tests.support.mlflow_service import MISSING, environment, needs_server

HEAD = f"""
import sys
sys.path.insert(0, {str(command_line.ROOT / "src")!r})
import json, os, time
from pathlib import Path
from sightline.core import artifacts, runtime
from sightline.core.tracking import Curves
"""
STAGES = {
    "download": """
with runtime.stage("download") as params:
    with artifacts.create(Path("data/raw"), "raw", {"seed": params.seed}) as folder:
        (folder / "items.txt").write_text("a\\nb\\n")
""",
    "pretrain": """
with runtime.stage("pretrain") as params:
    words = Path("word").read_text()
    curves = Curves(Path("plots/pretrain"), [])
    for step in range(0, 50, 10):
        curves.log(step, {"loss": params.lr * (50 - step), "val_accuracy": float(step)})
        gate = Path(f"wait-{step}")
        while gate.exists():
            time.sleep(0.05)
    curves.close()
    with artifacts.create(Path("models/text"), "text", {"word": words}) as folder:
        (folder / "weights.txt").write_text(words)
    if words == "fail":
        raise ValueError("the data are empty")
""",
    "report": """
with runtime.stage("report") as params:
    interval = {"value": 90.5, "low": 88.0, "high": 92.0, "pictures": 200}
    Path("metrics").mkdir(exist_ok=True)
    summary = {"quality": {"shipped": {"test": {"vqa_accuracy": interval}}}, "spin": "off"}
    artifacts.write_json(Path("metrics/summary.json"), summary)
    with artifacts.create(Path("metrics/report"), "metrics", {}) as folder:
        word = artifacts.load(Path("models/text"), "text").config["word"]
        (folder / "report.md").write_text("# Report of " + word)
    Path("plots/report").mkdir(parents=True, exist_ok=True)
    Path("plots/report/picture.png").write_bytes(b"\\x89PNG\\r\\n")
""",
    "gate": """
with runtime.stage("gate") as params:
    Path("metrics/gate").mkdir(parents=True, exist_ok=True)
    artifacts.write_json(Path("metrics/gate/gate.json"), {"passed": True, "checks": []})
""",
}
DAG = """
stages:
  download: {cmd: python stages/download.py, deps: [stages/download.py], outs: [data/raw]}
  pretrain:
    cmd: python stages/pretrain.py
    deps: [stages/pretrain.py, word, data/raw]
    outs: [models/text, plots/pretrain]
  report:
    cmd: python stages/report.py
    deps: [stages/report.py, models/text]
    outs: [metrics/report, plots/report, metrics/summary.json: {cache: false}]
  gate: {cmd: python stages/gate.py, deps: [stages/gate.py, metrics/summary.json], outs: [metrics/gate]}
"""
IGNORED = "/.resume/\n/data/raw\n/models\n/plots\n/metrics/report\n/metrics/gate\n/wait-*\n"


class Project:
    """A git and DVC repository with four quick stages that record themselves."""

    def __init__(self, path: Path, tracking: tuple[str, ...], **env: str) -> None:
        self.path = path
        path.mkdir()
        params_files.write(path, leaves={"tracking": tracking})
        (path / "stages").mkdir()
        for name, body in STAGES.items():
            (path / "stages" / f"{name}.py").write_text(HEAD + body, encoding="utf-8")
        (path / "dvc.yaml").write_text(DAG, encoding="utf-8")
        (path / "word").write_text("first", encoding="utf-8")
        (path / ".gitignore").write_text(IGNORED, encoding="utf-8")
        author = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER")
                  for what in ("NAME", "EMAIL")}  # fmt: skip
        here = str(Path(sys.executable).parent)
        self.env = environment() | author | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"} | env
        for words in (("git", "init", "-q"), ("dvc", "init", "-q"), ("git", "add", "-A"),
                      ("git", "commit", "-qm", "first")):  # fmt: skip
            self.run(*words)

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(command, cwd=self.path, env=self.env, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, *command: str) -> subprocess.Popen:
        return subprocess.Popen(
            command, cwd=self.path, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def track(self, code: int = 0) -> str:
        return self.run(
            sys.executable, "-c", "from sightline.cli.main import main; main()", "track", code=code
        )

    @property
    def outbox(self) -> Path:
        return self.path / ".resume" / "tracking"

    def waiting(self) -> list[str]:
        return sorted(path.name.split("-")[1] for path in self.outbox.glob("*/*-*"))

    def wait(self, done, seconds: float = 120) -> None:
        limit = time.monotonic() + seconds
        while not done():
            log = self.outbox / tracking_outbox.LOG
            assert time.monotonic() < limit, log.read_text() if log.exists() else "no sender"
            time.sleep(0.2)

    def arrived(self) -> None:
        """Wait until the process beside the build has sent everything."""
        self.wait(lambda: not list(self.outbox.glob("*/run.json")))

    def sender_is_gone(self) -> None:
        def gone() -> bool:
            try:
                with tracking_outbox.FileLock(self.outbox / tracking_outbox.LOCK, timeout=0):
                    return True
            except tracking_outbox.Timeout:
                return False

        self.wait(gone)


def in_mlflow(client, project):
    """(parent runs, their nested runs by stage) of the project's experiment, oldest first."""
    experiment = client.get_experiment_by_name(project.path.name)
    if experiment is None:
        return [], {}
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    nested: dict[str, list] = {}
    for run in runs:
        if "mlflow.parentRunId" in run.data.tags:
            nested.setdefault(run.data.tags["sightline.stage"], []).append(run)
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags], nested


def curve(client, run, name):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def files(client, run, folder=None):
    found = []
    for entry in client.list_artifacts(run.info.run_id, folder):
        found += files(client, run, entry.path) if entry.is_dir else [entry.path]
    return sorted(found)


LOSS = [(step, pytest.approx(0.001 * (50 - step))) for step in range(0, 50, 10)]


@needs_server
def test_a_build_is_a_run_with_a_nested_run_for_each_stage(server, client, tmp_path):
    project = Project(tmp_path / "balls", ("dvclive", "mlflow"), MLFLOW_TRACKING_URI=server.address)
    project.run("dvc", "repro")
    project.arrived()
    (parent,), nested = in_mlflow(client, project)
    assert {stage: len(runs) for stage, runs in nested.items()} == dict.fromkeys(STAGES, 1)
    assert {run.data.tags["mlflow.parentRunId"] for (run,) in nested.values()} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *(run for (run,) in nested.values()))} == {"FINISHED"}
    commit = project.run("git", "rev-parse", "HEAD").strip()
    tags = parent.data.tags
    assert (tags["mlflow.source.git.commit"], tags["sightline.profile"]) == (commit, "smoke")
    assert tags["sightline.gate"] == "passed" and "dvc.experiment" not in tags
    params = parent.data.params
    assert (params["lr"], params["seed"], params["align.batch_size"]) == ("0.001", "7", "32")
    assert "pretrain.batch_size" in nested["pretrain"][0].data.params
    assert "align.batch_size" not in nested["pretrain"][0].data.params

    (pretrain,), (report,), (download,) = nested["pretrain"], nested["report"], nested["download"]
    assert curve(client, pretrain, "loss") == LOSS
    assert curve(client, pretrain, "val_accuracy") == [(step, float(step)) for step in range(0, 50, 10)]
    raw = artifacts.load(project.path / "data" / "raw", "raw").digest()
    (data,) = pretrain.inputs.dataset_inputs
    assert data.dataset.digest == raw[:32] and json.loads(data.dataset.source)["manifest_sha256"] == raw
    assert data.dataset.name == "scenes (data/raw)"
    assert download.data.tags["output.data/raw"] == raw and not download.inputs.dataset_inputs
    assert report.data.tags["input.models/text"] == pretrain.data.tags["output.models/text"]
    for run, path in ((parent, "test/vqa_accuracy"), (report, "quality/shipped/test/vqa_accuracy")):
        figures = {name: value for name, value in run.data.metrics.items() if "vqa_accuracy" in name}
        assert figures == {path: 90.5, f"{path}/low": 88.0, f"{path}/high": 92.0, f"{path}/pictures": 200}
    assert {"metrics/report/report.md", "plots/report/picture.png"} <= set(files(client, report))
    assert {"report.md", "summary.json", "gate.json", "resolved.yaml"} == set(files(client, parent))
    assert "plots/pretrain/metrics.json" in files(client, pretrain)
    assert pretrain.data.metrics["cost/wall_seconds"] > 0


@needs_server
def test_a_stage_that_dvc_skips_is_linked_to_its_earlier_run(server, client, tmp_path):
    project = Project(tmp_path / "links", ("mlflow",), MLFLOW_TRACKING_URI=server.address)
    project.run("dvc", "repro")
    project.arrived()
    (project.path / "word").write_text("second", encoding="utf-8")
    project.run("dvc", "repro")
    project.arrived()
    (first, second), nested = in_mlflow(client, project)
    assert {stage: len(runs) for stage, runs in nested.items()} == {
        "download": 1, "pretrain": 2, "report": 2, "gate": 1
    }  # fmt: skip
    skipped = {tag: value for tag, value in second.data.tags.items() if tag.startswith("skipped.")}
    assert skipped == {f"skipped.{stage}": nested[stage][0].info.run_id for stage in ("download", "gate")}
    assert not [tag for tag in first.data.tags if tag.startswith("skipped.")]


@needs_server
def test_experiments_are_runs_of_their_names(server, client, tmp_path):
    project = Project(tmp_path / "named", ("mlflow",), MLFLOW_TRACKING_URI=server.address)
    project.run("dvc", "repro")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "built")
    project.arrived()
    project.env |= {"PYTHONUNBUFFERED": "1"}
    (project.path / "word").write_text("third", encoding="utf-8")
    project.run("dvc", "exp", "run", "-n", "slower")
    project.run("dvc", "exp", "run", "-n", "apart", "--temp", "-f", "-S", "word_is_no_param=1", code=255)
    project.run("dvc", "exp", "run", "-n", "apart", "--temp", "-f")
    project.arrived()
    parents, nested = in_mlflow(client, project)
    named = {run.data.tags.get("dvc.experiment", ""): run for run in parents}
    assert [run.data.tags.get("dvc.experiment", "") for run in parents] == ["", "slower", "apart"]
    head = project.run("git", "rev-parse", "HEAD").strip()
    assert named["slower"].data.tags["mlflow.source.git.commit"] == head
    assert named["slower"].info.run_name == "slower"
    of_apart = [run for runs in nested.values() for run in runs
                if run.data.tags["mlflow.parentRunId"] == named["apart"].info.run_id]  # fmt: skip
    assert {run.data.tags["sightline.stage"] for run in of_apart} == set(STAGES)  # -f ran all of them


@needs_server
def test_a_server_killed_half_way_gets_everything_once_after_its_restart(server, client, tmp_path):
    project = Project(tmp_path / "killed", ("mlflow",), MLFLOW_TRACKING_URI=server.address)
    (project.path / "wait-20").touch()  # pretrain waits there
    build = project.start("dvc", "repro")

    def points() -> int:
        _, nested = in_mlflow(client, project)
        return sum(len(curve(client, run, "loss")) for run in nested.get("pretrain", ()))

    project.wait(lambda: points() == 3)
    server.kill()
    (project.path / "wait-20").unlink()
    said, _ = build.communicate(timeout=300)
    assert build.returncode == 0, said
    assert (project.path / "metrics/gate/gate.json").is_file()
    project.sender_is_gone()
    assert {"pretrain", "report", "gate"} <= set(project.waiting())
    later = project.track(code=2)
    assert "does not answer (Connection refused)" in later and "3 stages wait in" in later
    server.start()
    assert "sent pretrain of" in project.track()
    assert project.waiting() == []
    (parent,), nested = in_mlflow(client, project)
    assert {stage: len(runs) for stage, runs in nested.items()} == dict.fromkeys(STAGES, 1)
    assert curve(client, nested["pretrain"][0], "loss") == LOSS
    assert {run.info.status for run in (parent, *(run for (run,) in nested.values()))} == {"FINISHED"}
    assert "nothing is waiting" in project.track()


@needs_server
def test_what_is_sent_again_after_a_crash_is_there_once(server, client, tmp_path):
    """The sender dies after the server has everything, and before it could remove what it sent."""
    project = Project(tmp_path / "again", ("mlflow",), MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    project.run("dvc", "repro")
    project.sender_is_gone()
    kept = shutil.copytree(project.outbox, tmp_path / "kept")
    project.env["MLFLOW_TRACKING_URI"] = server.address
    project.track()
    before = {run.info.run_id: run.data.to_dictionary() for run in all_runs(client, project)}
    shutil.copytree(kept, project.outbox, dirs_exist_ok=True)
    assert sorted(project.waiting()) == sorted(STAGES)
    project.track()
    after = {run.info.run_id: run.data.to_dictionary() for run in all_runs(client, project)}
    assert after == before and len(after) == 1 + len(STAGES)
    _, nested = in_mlflow(client, project)
    assert curve(client, nested["pretrain"][0], "loss") == LOSS
    assert len(nested["pretrain"][0].inputs.dataset_inputs) == 1


def all_runs(client, project):
    parents, nested = in_mlflow(client, project)
    return [*parents, *(run for runs in nested.values() for run in runs)]


@needs_server
def test_how_a_stage_ended_is_told(server, client, tmp_path):
    project = Project(tmp_path / "ends", ("mlflow",), MLFLOW_TRACKING_URI=server.address)
    (project.path / "word").write_text("fail", encoding="utf-8")
    project.run("dvc", "repro", code=255)
    project.arrived()
    (parent,), nested = in_mlflow(client, project)
    assert parent.info.status == "FAILED" and nested["pretrain"][0].info.status == "FAILED"
    assert nested["pretrain"][0].data.tags["sightline.message"] == "ValueError: the data are empty"

    (project.path / "word").write_text("killed", encoding="utf-8")
    (project.path / "wait-20").touch()
    build = project.start("dvc", "repro")
    project.wait(lambda: len(in_mlflow(client, project)[1].get("pretrain", ())) == 2)
    subprocess.run(["pkill", "-KILL", "-P", str(build.pid), "-f", "stages/pretrain.py"], check=False)
    build.communicate(timeout=60)
    project.arrived()
    (_, parent), nested = in_mlflow(client, project)
    assert nested["pretrain"][1].info.status == "KILLED" and parent.info.status == "KILLED"
    assert "its process was killed" in nested["pretrain"][1].data.tags["sightline.message"]


@needs_server
def test_a_deleted_experiment_is_named(server, client, tmp_path):
    project = Project(tmp_path / "deleted", ("mlflow",), MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    client.delete_experiment(client.create_experiment("deleted"))
    project.run("dvc", "repro")
    project.sender_is_gone()
    project.env["MLFLOW_TRACKING_URI"] = server.address
    said = project.track(code=2)
    assert "experiment 'deleted' was deleted on the MLflow server" in said
    project.env["MLFLOW_EXPERIMENT_NAME"] = "another"
    assert "sent gate" in project.track()
    assert client.get_experiment_by_name("another") is not None


def outputs(project):
    """Every byte that the stages wrote, and dvc.lock."""
    roots = [project.path / name for name in ("data", "models", "metrics", "plots")]
    paths = [path for root in roots for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(project.path).as_posix(): path.read_bytes() for path in paths} | {
        "dvc.lock": (project.path / "dvc.lock").read_bytes()
    }


needs_mlflow = pytest.mark.skipif("mlflow" in MISSING, reason="not installed: mlflow")


@needs_mlflow
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:9", "does not answer (Connection refused)"),
        ("", "MLFLOW_TRACKING_URI is not set"),
        ("server", "expected the address of an MLflow server"),
        ("htp://server", "htp"),
    ],
)
def test_a_server_that_is_not_there_changes_nothing(tmp_path, address, words):
    plain = Project(tmp_path / "plain", ("dvclive",))
    plain.run("dvc", "repro")
    project = Project(tmp_path / "balls", ("mlflow",), MLFLOW_TRACKING_URI=address)
    (project.path / "wait-20").touch()
    build = project.start("dvc", "repro")
    project.wait(lambda: (project.outbox / tracking_outbox.PROBLEM).exists())
    (project.path / "wait-20").unlink()
    said, _ = build.communicate(timeout=300)
    assert build.returncode == 0 and outputs(project) == outputs(plain)
    (line,) = [line for line in said.splitlines() if "tracking: not sent yet" in line]
    assert words in line and "`sightline track`" in line
    assert sorted(project.waiting()) == sorted(STAGES)
    assert words in project.track(code=2) and sorted(project.waiting()) == sorted(STAGES)


@needs_mlflow
def test_a_full_outbox_keeps_the_build_unharmed(tmp_path):
    """The folder of the records cannot be written, as on a full disk."""
    plain = Project(tmp_path / "plain", ("dvclive",))
    plain.run("dvc", "repro")
    project = Project(tmp_path / "balls", ("mlflow",), MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    with small_disk(project.path / ".resume" / "tracking"):
        said = project.run("dvc", "repro")
        lines = [line for line in said.splitlines() if "this stage is not recorded whole" in line]
        assert len(lines) == len(STAGES) and all("no space left" in line for line in lines)
        assert outputs(project) == outputs(plain)


@contextmanager
def small_disk(folder: Path):
    """A file system in a folder, without room for anything."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        (folder / "filler").write_bytes(b"x" * 4096)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_package_that_is_not_installed_is_named_before_anything_runs(tmp_path):
    for name, (module, package) in tracking_outbox.NEEDS.items():
        project = Project(tmp_path / name, ("dvclive", name))
        hooks = tmp_path / f"{name}_hooks"
        hooks.mkdir()
        (hooks / "sitecustomize.py").write_text(
            f"import sys; sys.modules[{module!r}] = None", encoding="utf-8"
        )
        project.env["PYTHONPATH"] = f"{hooks}{os.pathsep}{project.env.get('PYTHONPATH', '')}"
        said = project.run("dvc", "repro", code=255)
        assert f"tracking: got '{name}', allowed: it once the package {module} is installed" in said
        assert f'pip install "{package}"' in said and not (project.path / "data/raw").exists()


@needs_mlflow
def test_mlflow_reports_nothing_home():
    """Where Sightline was imported first, as every sender of ours does, and no CI variable turns it off."""
    code = "import sightline; from mlflow.telemetry.utils import is_telemetry_disabled as off; print(off())"
    env = {name: value for name, value in environment().items() if name not in ("CI", *TELEMETRY_OFF)}
    env["PYTHONPATH"] = str(command_line.ROOT / "src")
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr


@needs_server
def test_two_runs_at_once_share_an_outbox(server, client, tmp_path):
    project = Project(tmp_path / "two", ("mlflow",), MLFLOW_TRACKING_URI=server.address)
    both = [project.start("dvc", "exp", "run", "--temp", "-f", "-n", name) for name in ("ada", "bea")]
    for run in both:
        said, _ = run.communicate(timeout=300)
        assert run.returncode == 0, said
    project.arrived()
    parents, nested = in_mlflow(client, project)
    assert {run.data.tags["dvc.experiment"] for run in parents} == {"ada", "bea"}
    assert {stage: len(runs) for stage, runs in nested.items()} == dict.fromkeys(STAGES, 2)
    for parent in parents:
        own = [
            run.data.tags["sightline.stage"] for runs in nested.values() for run in runs
            if run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        ]  # fmt: skip
        assert sorted(own) == sorted(STAGES) and parent.info.status == "FINISHED"


@pytest.mark.skipif(not find_spec("tensorboard"), reason="not installed: tensorboard")
def test_tensorboard_reads_the_curves(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    project = Project(tmp_path / "board", ("dvclive", "tensorboard"))
    project.run("dvc", "repro")
    project.arrived()
    (folder,) = (project.path / ".resume" / "tensorboard").glob("*/pretrain")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["loss", "val_accuracy"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (step, pytest.approx(value.expected, rel=1e-6)) for step, value in LOSS
    ]
    assert project.waiting() == []
