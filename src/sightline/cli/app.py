"""The application and what its commands share. Nothing here imports torch."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.core.plain_text import plain

USE, DATA, BUILD, EXPERIMENTS = "Use the model", "Your data", "Build the model", "Experiments"  # of --help
TRUST, SHARE = "Check a model", "Share the model"

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Small vision-language models you can trust, rebuilt by one command.",
)

MAX_PIXELS = 50_000_000  # of a picture from outside

BUNDLE = typer.Option(help="Folder of the shipped model; default: models/bundle of this checkout.")
SPIN = typer.Option("--spin/--no-spin", help="Gate heads; default: as the bundle says.")
AS_JSON = typer.Option("--json", help="Print JSON instead of text.")
FETCH = typer.Option("--fetch", help="Allow pictures to be fetched from https addresses.")


def say(text: str, err: bool = False) -> None:
    """Print a line; captions, ids and names of files in it cannot steer the terminal."""
    typer.echo(plain(text), err=err)


def installed_version() -> str:
    """The version of the distribution, which is found through its command: its name on a package index may
    differ."""
    commands = entry_points(group="console_scripts", name="sightline", value="sightline.cli.main:main")
    installed = next(iter(commands), None)
    return installed.dist.version if installed and installed.dist else "that is not installed"


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"sightline {installed_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Small vision-language models you can trust, rebuilt by one command."""


def bundle_folder(bundle: Path | None) -> Path:
    """The folder of `bundle`, or a message that names the command which builds one."""
    folder = bundle or checkout_files.root() / "models" / "bundle"
    if not folder.exists():
        raise checkout_files.CheckoutError(
            f"no model at {folder}: run `dvc repro`, or `sightline demo` for a tiny one"
        )
    return folder


def open_session(bundle: Path | None):
    from sightline.inference.session import Session

    return Session.load(bundle_folder(bundle))


def warn_of_question(session, question: str) -> bool:
    """Whether the question is unlike those of training; then a line on stderr."""
    if not session.question_is_unlike(question):
        return False
    unknown = session.question_detector.unknown(question)
    why = f": no word {', '.join(map(repr, unknown[:5]))} was in them" if unknown else ""
    say(
        f"sightline: the question is unlike those the model was trained on{why}; do not trust the answer",
        err=True,
    )
    return True


def check_domain(session, picture, name: str) -> dict[str, float | bool]:
    """How unlike the training pictures this one is; a line on stderr where it is out of domain. Nothing for a
    model that only answers."""
    if not session.searches:
        return {}
    from sightline.inference.out_of_domain import OODDetector

    detector = OODDetector.load(session.folder)
    score = float(detector.scores(session, [picture])[0])
    if score > detector.bound:
        say(
            f"sightline: {name} looks unlike the pictures the model was trained on "
            f"(score {score:.1f}, above {detector.bound:.1f}): do not trust what it says",
            err=True,
        )
    return {"out_of_domain": score > detector.bound, "domain_score": round(score, 2)}
