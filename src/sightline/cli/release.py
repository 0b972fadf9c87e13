"""`sightline track`, `register` and `promote`: from a build to a released model, with MLflow."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout

from sightline.cli import checkout_files, dvc_outs
from sightline.cli.app import BUILD, SHARE, app, say

NAME = typer.Option(
    help="Of the registered model; default: MLFLOW_EXPERIMENT_NAME, else the name of the repository's folder."
)


class Alias(StrEnum):
    """What a version may be promoted to."""

    staging = "staging"
    production = "production"


@app.command(rich_help_panel=BUILD)
def track() -> None:
    """Send what is left of earlier builds to MLflow and TensorBoard (param `tracking`).

    A build sends by itself while it runs. MLFLOW_TRACKING_URI names the server. What cannot be sent is kept;
    sent twice, nothing is there twice.
    """
    outbox = _outbox(checkout_files.root())
    if not outbox.is_dir():
        say("track: nothing was recorded; `tracking: [mlflow]` in params.yaml records the next build")
        return
    with _sending(outbox) as sender:
        if sender is None:
            return
        try:
            sender.send()
        finally:
            for line in sender.arrived:
                say(f"track: sent {line}")
            waiting = sender.waiting()
            say(f"track: {waiting} stages wait in {outbox}" if waiting else "track: nothing is waiting")


@app.command(rich_help_panel=SHARE)
def register(name: Annotated[str | None, NAME] = None) -> None:
    """Make the bundle a version of a registered model of MLflow, if the quality gate passed.

    With it goes what a promotion is decided by: the verdict of the gate, and what was counted of each test
    picture, by the evaluation and by the red team. A bundle that is registered already stays the version
    that it is.
    """
    from sightline.cli.share import read_measured
    from sightline.evaluate.red_team import red_team_figures
    from sightline.share import mlflow_registry, mlflow_runs

    here = checkout_files.root()
    attacked = red_team_figures.FOLDER.as_posix()
    recorded = attacked in {out.path for out in dvc_outs.read(here)}
    further = [attacked] if recorded or (here / attacked).exists() else []  # an older version built none
    measured = read_measured(here / "models" / "bundle", "metrics/evaluate", *further)
    failed = [check.line() for check in measured.checks if check.passed is False]
    if failed:
        raise checkout_files.CheckoutError(
            f"the quality gate did not pass, nothing was registered: {'; '.join(failed)}"
        )
    if _outbox(here).is_dir():
        with _sending(_outbox(here)) as sender:
            if sender is not None:
                sender.send()  # so that the version has the run that built it
    experiment = mlflow_runs.experiment_name(here.name)
    made = mlflow_registry.register(measured, experiment, name or experiment)
    if made.is_new:
        say(f"register: {made.name} version {made.version}, built by run {made.run}")
    else:
        say(f"register: this bundle is {made.name} version {made.version} already; nothing was changed")
    say(f"try: sightline promote {made.version} staging{_named(name)}")


@app.command(rich_help_panel=SHARE)
def promote(
    version: Annotated[int, typer.Argument(min=1, help="Of the registered model.")],
    alias: Annotated[Alias, typer.Argument(help="What it becomes.")],
    name: Annotated[str | None, NAME] = None,
) -> None:
    """Move an alias to a version, if its gate passed and it is no worse than the version that has the alias.

    Both are compared picture by picture on the test items that both were measured on, and no family of
    attacks may succeed more often.
    """
    from sightline.share import mlflow_registry, mlflow_runs

    model = name or mlflow_runs.experiment_name(checkout_files.root().name)
    done = mlflow_registry.promote(model, version, alias.value)
    for check in done.checks:
        say(f"promote: {check.line()}")
    before = f"version {done.incumbent}"
    if done.incumbent == version:
        say(f"promote: {model} version {version} is {alias.value} already")
    elif done.same:
        say(
            f"promote: {model} version {version} is {alias.value} now; {before}, before it, is the same model"
        )
    elif done.incumbent:
        say(f"promote: {model} version {version} is {alias.value} now, instead of {before}: compared over "
            f"{done.pictures} test pictures")  # fmt: skip
    else:
        say(f"promote: {model} version {version} is {alias.value} now, the first one")
    say(f"try: sightline serve --model models:/{model}@{alias.value}")


def _named(name: str | None) -> str:
    return f" --name {name}" if name else ""


def _outbox(here: Path) -> Path:
    from sightline.core import tracking_outbox

    return here / ".resume" / tracking_outbox.OUTBOX


@contextmanager
def _sending(outbox: Path) -> Iterator:
    """The sender of the outbox, held alone; None, with a line, where a build runs, which sends by itself."""
    from sightline.core import tracking_outbox
    from sightline.share.tracking_sender import Sender

    lock, sender = FileLock(outbox / tracking_outbox.LOCK), Sender(outbox)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=1)  # after a build its own sender goes on for some seconds
        except Timeout:
            if any(run.launcher.runs() for run in sender.runs()):
                say("track: a build is running and sends by itself")
                yield None
                return
    try:
        yield sender
        (outbox / tracking_outbox.PROBLEM).unlink(missing_ok=True)
    finally:
        lock.release()
