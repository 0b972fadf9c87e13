"""The outbox in MLflow: a run for each run of DVC, in it a nested run for each stage that ran.

Each has a key of its own as a tag, by which an interrupted sender finds it again; points that the server has
are not sent a second time.
"""

import getpass
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

from sightline.core import artifacts
from sightline.core.tracking_outbox import FAILED, FINISHED, KILLED, RunRecord
from sightline.share import mlflow_server
from sightline.share.mlflow_server import ServerError, asked
from sightline.share.tracking_sender import Attempt

KEY, STAGE, OUTS, GATE = "sightline.key", "sightline.stage", "sightline.outs", "sightline.gate"
BUNDLE = "models/bundle"
DATA = ("data/raw", "data/vqa")  # inputs that are data sets; what else a stage reads is a tag
OF_THE_WHOLE = ("metrics/report/report.md", "metrics/summary.json", "metrics/gate/gate.json", "resolved.yaml")
MOST_POINTS, MOST_PARAMS = 500, 100  # of one request
MOST_VALUE = 500  # characters of a param or tag, which servers of MLflow 2 take, too


KIND = {"mlflow.experimentKind": "custom_model_development"}  # which pages of MLflow open
NOT_IN_A_NAME = re.compile(r"[^\w./ -]", re.ASCII)  # of a metric


@dataclass
class _Run:
    """A run on the server, and what of the outbox it has: the bytes of the curves, the points by name and
    step. `unknown`: an earlier sender made it, so what the server has must be asked for."""

    id: str
    unknown: bool
    offset: int = 0
    steps: dict[str, set[int]] = field(default_factory=dict)
    begun: bool = False


class MlflowRuns:
    """Sends to the server at MLFLOW_TRACKING_URI. Methods raise ServerError."""

    def __init__(self, client: Any = None) -> None:
        self._client = client
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, _Run] = {}

    def send(self, attempt: Attempt) -> None:
        self._connect()
        with asked(f"take the stage {attempt.begin.stage}"):
            self._send(attempt)

    def finish(self, run: RunRecord, stages: dict[str, dict[str, str]]) -> None:
        self._connect()
        with asked(f"take the end of {run.name}"):
            parent = self._parent(run)
            children = self.search(
                experiment_name(run.project), f"tags.`mlflow.parentRunId` = '{parent.id}'", 1000
            )
            latest = {child.data.tags.get(STAGE, ""): child for child in reversed(children)}
            for name, outs in stages.items():
                if name not in latest and outs:
                    self._link(run, parent, name, outs)
            ends = {child.info.status for child in latest.values()}
            status = next((bad for bad in (FAILED, KILLED) if bad in ends), FINISHED)
            ended = max((child.info.end_time or 0 for child in children), default=0) or run.began
            self._client.set_terminated(parent.id, status, ended)

    def _connect(self) -> None:
        if self._client is None:
            self._client = mlflow_server.client()

    def _send(self, attempt: Attempt) -> None:
        parent = self._parent(attempt.run)
        run = self._child(attempt, parent)
        if not run.begun:
            self._log_begin(attempt, run)
            run.begun = True
        points, offset = attempt.points(run.offset)
        self._log_metrics(run, [
            (name, value, point["time"], point["step"])
            for point in points for name, value in point["values"].items()
        ])  # fmt: skip
        run.offset = offset
        if attempt.is_over:
            self._log_end(attempt, run, parent)
            del self._runs[attempt.key]

    def _parent(self, run: RunRecord) -> _Run:
        if run.key not in self._runs:
            tags = {
                "mlflow.runName": run.name, "mlflow.source.name": "dvc", "mlflow.source.type": "PROJECT",
                "sightline.profile": run.profile,
                **({"mlflow.source.git.commit": run.git_commit} if run.git_commit else {}),
                **({"dvc.experiment": run.experiment} if run.experiment else {}),
            }  # fmt: skip
            self._runs[run.key] = self._attached(run, run.key, run.began, tags)
            self._log_params(self._runs[run.key], run.params)
        return self._runs[run.key]

    def _child(self, attempt: Attempt, parent: _Run) -> _Run:
        if attempt.key not in self._runs:
            stage = attempt.begin.stage
            tags = {
                "mlflow.runName": stage, "mlflow.parentRunId": parent.id, STAGE: stage,
                "mlflow.source.name": f"stages/{stage}.py", "mlflow.source.type": "PROJECT",
            }  # fmt: skip
            self._runs[attempt.key] = self._attached(attempt.run, attempt.key, attempt.begin.began, tags)
        return self._runs[attempt.key]

    def _attached(self, run: RunRecord, key: str, began: int, tags: dict[str, str]) -> _Run:
        """The server's run with this key, made where there is none."""
        found = self.search(experiment_name(run.project), f"tags.`{KEY}` = '{key}'", 1)
        if not found:
            tags = {**tags, KEY: key, "mlflow.user": getpass.getuser()}
            made = self._client.create_run(
                self.experiment(experiment_name(run.project)), began, tags, tags["mlflow.runName"]
            )
            return _Run(made.info.run_id, unknown=False)
        return _Run(found[0].info.run_id, unknown=True)

    def experiment(self, name: str) -> str:
        """The id of an experiment, made where there is none."""
        from mlflow.exceptions import MlflowException

        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            if found is None:
                try:
                    self._experiments[name] = self._client.create_experiment(name, tags=KIND)
                except MlflowException:  # another sender made it in this moment; else this raises again
                    found = self._client.get_experiment_by_name(name)
                    if found is None:
                        raise
            if found is not None:
                if found.lifecycle_stage == "deleted":
                    raise ServerError(
                        f"the experiment {name!r} was deleted on the MLflow server: restore it there, or "
                        f"choose another by {mlflow_server.EXPERIMENT}"
                    )
                self._experiments[name] = found.experiment_id
        return self._experiments[name]

    def search(self, experiment: str, condition: str, most: int) -> list[Any]:
        """The newest runs of an experiment that meet a condition, newest first."""
        found = self._client.search_runs(
            [self.experiment(experiment)],
            condition,
            max_results=most,
            order_by=["attributes.start_time DESC"],
        )
        return list(found)

    def _log_begin(self, attempt: Attempt, run: _Run) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self._log_params(run, attempt.begin.params)
        inputs = {path: digest for path, digest in attempt.inputs.items() if path not in DATA}
        self._tag(run, {f"input.{path}": digest for path, digest in inputs.items()})
        sets = [
            DatasetInput(
                Dataset(f"{attempt.begin.source} ({path})", digest[:32], "dvc",
                        json.dumps({"path": path, "manifest_sha256": digest})),
                [InputTag("mlflow.data.context", attempt.begin.stage)],
            )
            for path, digest in attempt.inputs.items() if path in DATA
        ]  # fmt: skip
        if sets:
            self._client.log_inputs(run.id, sets)

    def _log_end(self, attempt: Attempt, run: _Run, parent: _Run) -> None:
        end = attempt.end
        ended = end.ended if end else attempt.last_change()
        for path, name in attempt.files():
            folder = name.rpartition("/")[0]
            self._client.log_artifact(run.id, str(path), folder or None)
            if name in OF_THE_WHOLE:
                self._client.log_artifact(parent.id, str(path), None)
            if name == "metrics/summary.json":
                summary = artifacts.read_json(path)
                for told, figures in ((run, summary), (parent, summary["quality"]["shipped"])):
                    self._log_metrics(told, [(key, value, ended, 0) for key, value in flat(figures).items()])
            if name == "metrics/gate/gate.json":
                self._tag(parent, {GATE: "passed" if artifacts.read_json(path)["passed"] else "failed"})
        tags = {f"output.{path}": digest for path, digest in attempt.outs.items()}
        if attempt.outs:
            tags[OUTS] = digest_of(attempt.outs)
        if end is None:
            tags["sightline.message"] = (
                "its end was not recorded: its process was killed, or the disk was full"
            )
        elif end.message:
            tags["sightline.message"] = end.message
        if end and end.left_out:
            tags["sightline.left_out"] = "too large: " + ", ".join(end.left_out)
        self._tag(run, tags)
        if end:
            self._log_metrics(run, [(f"cost/{name}", value, ended, 0) for name, value in end.cost.items()])
        self._client.set_terminated(run.id, end.status if end else KILLED, ended)

    def _link(self, run: RunRecord, parent: _Run, stage: str, outs: dict[str, str]) -> None:
        """Tag the parent with the run that made the outputs of a stage which did not run this time."""
        condition = f"tags.`{STAGE}` = '{stage}' and tags.`{OUTS}` = '{digest_of(outs)}'"
        found = self.search(experiment_name(run.project), condition, 1)
        if found:
            self._tag(parent, {f"skipped.{stage}": found[0].info.run_id})

    def _log_metrics(self, run: _Run, rows: list[tuple[str, float, int, int]]) -> None:
        """Rows of name, value, time in milliseconds and step, of which the server has some perhaps."""
        from mlflow.entities import Metric

        named = [(NOT_IN_A_NAME.sub("_", name), value, time, step) for name, value, time, step in rows]
        for name in {row[0] for row in named} - run.steps.keys():
            known = self._client.get_metric_history(run.id, name) if run.unknown else ()
            run.steps[name] = {metric.step for metric in known}
        new = [row for row in named if row[3] not in run.steps[row[0]]]
        for start in range(0, len(new), MOST_POINTS):
            chunk = new[start : start + MOST_POINTS]
            self._client.log_batch(run.id, metrics=[Metric(*row) for row in chunk])
            for name, _, _, step in chunk:
                run.steps[name].add(step)

    def _log_params(self, run: _Run, params: dict[str, str]) -> None:
        from mlflow.entities import Param

        listed = [Param(name, mlflow_server.shown(value)[:MOST_VALUE]) for name, value in params.items()]
        for start in range(0, len(listed), MOST_PARAMS):
            self._client.log_batch(run.id, params=listed[start : start + MOST_PARAMS])

    def _tag(self, run: _Run, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(
            run.id, tags=[RunTag(name, value[:MOST_VALUE]) for name, value in tags.items()]
        )


def flat(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of metrics/summary.json, or of a part of it, by their path; the value of an interval
    without its `value`, so that `test/vqa_accuracy` has `.../low` and `.../high` beside it."""
    found: dict[str, float] = {}
    for name, value in figures.items():
        path = prefix if name == "value" and prefix else f"{prefix}/{name}".lstrip("/")
        if isinstance(value, dict):
            found |= flat(value, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[path] = float(value)
    return found


def digest_of(outs: dict[str, str]) -> str:
    """One hash for the outputs of a stage."""
    return hashlib.sha256(json.dumps(sorted(outs.items())).encode()).hexdigest()


def experiment_name(project: str) -> str:
    """Of a repository whose folder is called `project`."""
    return os.environ.get(mlflow_server.EXPERIMENT) or project


def run_of_bundle(client: Any, experiment: str, digest: str, commit: str) -> Any:
    """The run of DVC that built the bundle whose manifest has this hash; where none was tracked, a run that
    stands for it."""
    found = MlflowRuns(client)
    conditions = [
        f"tags.`{STAGE}` = 'index' and tags.`{OUTS}` = '{digest_of({BUNDLE: digest})}'",
        f"tags.`{KEY}` = 'bundle-{digest}'",
    ]
    for condition in conditions:
        for run in found.search(experiment, condition, 1):
            parent = run.data.tags.get("mlflow.parentRunId")
            return client.get_run(parent) if parent else run
    tags = {KEY: f"bundle-{digest}", "mlflow.source.git.commit": commit, "mlflow.user": getpass.getuser()}
    made = client.create_run(found.experiment(experiment), tags=tags, run_name=f"bundle {digest[:12]}")
    client.set_terminated(made.info.run_id)
    return made
