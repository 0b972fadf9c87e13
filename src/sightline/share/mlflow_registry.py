"""A bundle as a version of a registered model of MLflow: registered with its evidence, promoted by it, and
fetched.

A version holds the bundle, the file that lets `mlflow models serve` answer with it, the code of Sightline,
and `evidence/`: the verdict of its gate, its figures, and what the evaluation and the red team counted of
each test picture. By that it is compared with the version that has the alias.
"""

import re
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from sightline.core import artifacts, source_digest, typed_json
from sightline.evaluate import paired_pictures, quality_gate
from sightline.evaluate.paired_pictures import SplitCounts
from sightline.evaluate.quality_gate import Check
from sightline.evaluate.red_team import red_team_figures
from sightline.evaluate.red_team.red_team_figures import RedTeamFigures
from sightline.share import mlflow_runs, mlflow_server
from sightline.share.measured_bundle import MeasuredBundle
from sightline.share.mlflow_server import ServerError, asked

MODEL, EVIDENCE, VERDICT = "model", "evidence", "verdict.json"
BUNDLE, COMMIT = "sightline.bundle", "sightline.git_commit"  # tags of a version: the hash of its manifest
ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[\w.-]+)|/(?P<version>\d+))")
CODE = Path(__file__).parent / "templates" / "mlflow_model.py"
CURE = "register the model again"


class Refused(ValueError):
    """A version was not promoted; the message says what kept it back."""


class Verdict(typed_json.Described):
    """evidence/verdict.json: the gate's, and how two versions are compared: the most that one may lose, in
    points, how often pictures are drawn, and the seed of that."""

    passed: bool
    checks: list[str]
    max_loss: float
    resamplings: int
    seed: int


@dataclass(frozen=True)
class Evidence:
    """What a version brings: `attacked` None where it was registered without red-team figures."""

    verdict: Verdict
    counts: dict[str, SplitCounts]
    attacked: RedTeamFigures | None


@dataclass(frozen=True)
class Registered:
    """A version on the server; `is_new`: this call made it. `run`: the run that built it."""

    name: str
    version: int
    run: str
    is_new: bool


@dataclass(frozen=True)
class Promotion:
    """What a promotion was decided by: the version that had the alias (0: none), whether that is the same
    model, and the checks against it over so many test pictures."""

    incumbent: int
    same: bool
    checks: Sequence[Check]
    pictures: int


def register(measured: MeasuredBundle, experiment: str, name: str) -> Registered:
    """Make the bundle of a checkout a version of the model `name`; one that is there already stays.

    Raises ServerError, and ValueError where the evidence is damaged.
    """
    bundle = artifacts.load(measured.checkout / "models" / "bundle", "bundle", everything=True)
    evaluated = artifacts.load(measured.checkout / "metrics" / "evaluate", "metrics").path
    digest, client = bundle.digest(), mlflow_server.client()
    with asked(f"register the model {name}"), tempfile.TemporaryDirectory() as scratch:
        _make_model(client, name)
        for known in client.search_model_versions(f"name = '{name}'"):
            if known.tags.get(BUNDLE) == digest and known.status == "READY":
                return Registered(name, int(known.version), known.run_id or "", is_new=False)
        run = mlflow_runs.run_of_bundle(client, experiment, digest, measured.commit())
        folder = Path(scratch) / MODEL
        _write_model(folder, bundle)
        _write_evidence(folder / EVIDENCE, measured, evaluated)
        client.log_artifacts(run.info.run_id, str(folder), MODEL)
        tags = {
            BUNDLE: digest, COMMIT: measured.commit(), "sightline.profile": measured.params.profile,
            "sightline.data": bundle.config["data"]["sha256"], "sightline.gate": "passed",
            "sightline.version": measured.version,
        }  # fmt: skip
        made = client.create_model_version(
            name, f"{run.info.artifact_uri}/{MODEL}", run.info.run_id, tags=tags
        )
        return Registered(name, int(made.version), run.info.run_id, is_new=True)


def promote(name: str, number: int, alias: str) -> Promotion:
    """Give the alias to a version, if its gate passed and it loses no more against the version that has it
    than its gate allows.

    Raises Refused, which names each figure that kept it back and by how much, and ServerError.
    """
    client = mlflow_server.client()
    with asked(f"promote version {number} of {name}"), tempfile.TemporaryDirectory() as scratch:
        candidate = client.get_model_version(name, str(number))
        incumbent = int(client.get_registered_model(name).aliases.get(alias, 0))
        evidence = _evidence(client, candidate, Path(scratch) / "candidate")
        if not evidence.verdict.passed:
            failed = "; ".join(evidence.verdict.checks)
            raise Refused(f"version {number} of {name} did not pass its gate: {failed}")
        promotion = Promotion(incumbent, incumbent == number, (), 0)
        if incumbent and incumbent != number:
            before = client.get_model_version(name, str(incumbent))
            if before.tags.get(BUNDLE) == candidate.tags.get(BUNDLE):
                promotion = Promotion(incumbent, True, (), 0)
            else:
                earlier = _evidence(client, before, Path(scratch) / "incumbent")
                promotion = _compared(incumbent, evidence, earlier, f"version {number}")
        if int(client.get_registered_model(name).aliases.get(alias, 0)) != incumbent:
            raise Refused(f"somebody else moved {alias} of {name} in this moment: look, and try again")
        client.set_registered_model_alias(name, alias, str(number))
        return promotion


def fetch(address: str, cache: Path) -> tuple[Path, str]:
    """(folder, "NAME version 3") of the bundle that `models:/NAME@ALIAS` or `models:/NAME/VERSION` means,
    downloaded into `cache` unless it is there, and verified.

    Raises ValueError for another form and for a bundle that is not the one that was registered; ServerError.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"model {address!r}: expected models:/NAME@ALIAS or models:/NAME/VERSION")
    client = mlflow_server.client()
    name, alias, number = match["name"], match["alias"], match["version"]
    with asked(f"find {address}"):
        found = (
            client.get_model_version_by_alias(name, alias)
            if alias
            else client.get_model_version(name, number)
        )
        digest = found.tags.get(BUNDLE, "")
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ServerError(f"{address}: version {found.version} was not made by `sightline register`")
        target = cache / digest
        if not target.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                folder = _download(client, found, "artifacts/bundle", Path(scratch))
                bundle = artifacts.load(folder, "bundle", everything=True)
                if bundle.digest() != digest:
                    raise ServerError(
                        f"{address}: expected the bundle {digest[:12]}, found {bundle.digest()[:12]}; what "
                        f"the server keeps of version {found.version} was changed: register it again"
                    )
                folder.rename(target)
    return target, f"{name} version {found.version}"


def _compared(incumbent: int, after: Evidence, before: Evidence, variant: str) -> Promotion:
    verdict = after.verdict
    common, _ = paired_pictures.shared(after.counts, before.counts)
    against = f"version {incumbent}"
    if not common:
        raise Refused(
            f"{variant} and {against} were measured on other test pictures, so nobody knows which is better; "
            "to decide without a comparison, set the alias on the model's page in MLflow"
        )
    bounds = paired_pictures.compare(after.counts, before.counts, verdict.resamplings, verdict.seed)
    allowed = min(verdict.max_loss, before.verdict.max_loss)
    checks = quality_gate.loss_checks(bounds, allowed, variant, against)
    checks += _attack_checks(after, before, allowed, variant, against)
    failed = [check for check in checks if check.passed is False]
    if failed:
        raise Refused(
            f"{variant} is worse than {against}, over {common} test pictures: "
            + "; ".join(f"{check.line()}, which is {(check.value or 0) - allowed:.3g} points too much"
                        for check in failed)
        )  # fmt: skip
    return Promotion(incumbent, False, checks, common)


def _attack_checks(
    after: Evidence, before: Evidence, allowed: float, variant: str, against: str
) -> list[Check]:
    """That no family of attacks succeeds more often than before. One check that says why there are none where
    a version has no figures of the red team."""
    if after.attacked is None or before.attacked is None:
        without = variant if after.attacked is None else against
        note = f"{without} has none; it was registered before there were any"
        return [Check(variant, "red-team figures", None, "at most", allowed, 0, 0, None, note)]
    verdict = after.verdict
    changes = red_team_figures.compare(after.attacked, before.attacked, verdict.resamplings, verdict.seed)
    return quality_gate.attack_loss_checks(changes, allowed, variant, against)


def _make_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _write_model(folder: Path, bundle: artifacts.Artifact) -> None:
    """The folder that MLflow loads: MLmodel, the code, the bundle."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    answers = bundle.config.get("answers", True)
    asked_for = ["image", "question"] if answers else ["text"]
    outputs = None
    if answers:
        kinds = {"answer": "string", "confidence": "double", "sure": "boolean", "out_of_domain": "boolean"}
        outputs = Schema([ColSpec(kind, name) for name, kind in kinds.items()])
    inputs = Schema([ColSpec("string", name) for name in asked_for])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that no example row is stored beside the signature
        mlflow.pyfunc.save_model(
            path=str(folder), python_model=str(CODE), artifacts={"bundle": str(bundle.path)},
            code_paths=[str(source_digest.PACKAGE)], pip_requirements=_requirements(),
            signature=ModelSignature(inputs, outputs),
        )  # fmt: skip


def _requirements() -> list[str]:
    """What asking needs, each in the version that is installed, and what MLflow needs to load it."""
    try:
        asked_for = requires("sightline-vlm") or []
    except PackageNotFoundError:
        asked_for = []
    names = {re.split(r"[^\w.-]", line)[0] for line in asked_for if "extra ==" not in line}
    found = []
    for name in sorted(names | {"mlflow-skinny", "pandas"}):
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            found.append(name)
    return found


def _write_evidence(folder: Path, measured: MeasuredBundle, evaluated: Path) -> None:
    folder.mkdir()
    for path in sorted(evaluated.glob(paired_pictures.file_of("*"))):
        shutil.copyfile(path, folder / path.name)
    attacked = measured.checkout / red_team_figures.FOLDER
    if attacked.exists():
        found = artifacts.load(attacked, "metrics").path / red_team_figures.FILE
        shutil.copyfile(found, folder / red_team_figures.FILE)
    params = measured.params
    verdict = Verdict(
        passed=quality_gate.passed(measured.checks), checks=[check.line() for check in measured.checks],
        max_loss=params.gate.max_accuracy_drop, resamplings=params.evaluate.bootstrap, seed=params.seed,
    )  # fmt: skip
    artifacts.write_json(folder / VERDICT, verdict.model_dump(mode="json"))
    artifacts.write_json(folder / "summary.json", measured.summary)


def _evidence(client: Any, found: Any, scratch: Path) -> Evidence:
    scratch.mkdir()
    folder = _download(client, found, EVIDENCE, scratch)
    attacked = folder / red_team_figures.FILE
    return Evidence(
        typed_json.read(folder / VERDICT, Verdict, CURE), paired_pictures.read(folder),
        red_team_figures.read(attacked) if attacked.exists() else None,
    )  # fmt: skip


def _download(client: Any, found: Any, part: str, into: Path) -> Path:
    """A folder of a version's files, in `into`."""
    from mlflow.artifacts import download_artifacts

    source = client.get_model_version_download_uri(found.name, found.version)
    return Path(download_artifacts(artifact_uri=f"{source}/{part}", dst_path=str(into)))
