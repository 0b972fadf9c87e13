"""The application that the commands register with, and what several need. Nothing here imports torch."""

from pathlib import Path

import typer

from sightline.cli import checkout_files

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Small vision-language models you can trust, rebuilt by one command.",
)

MAX_PIXELS = 50_000_000  # of a picture from outside

BUNDLE = typer.Option(help="Folder of the shipped model; default: models/bundle of this checkout.")
AS_JSON = typer.Option("--json", help="Print one JSON object instead of text.")


def bundle_folder(bundle: Path | None) -> Path:
    """The folder of `bundle`, or a message that names the command which builds one."""
    folder = bundle or checkout_files.root() / "models" / "bundle"
    if not folder.exists():
        raise checkout_files.ProjectError(
            f"no model at {folder}: run `make repro`, or `make demo` for a tiny one"
        )
    return folder


def open_session(bundle: Path | None):
    from sightline.inference.session import Session

    return Session.load(bundle_folder(bundle))


def read_image(path: Path):
    from sightline.data import images

    return images.decode(path.read_bytes(), max_pixels=MAX_PIXELS, name=str(path))


def judge(session, picture) -> dict[str, float | bool]:
    """How unlike the training pictures this one is; a line on stderr where it is out of domain."""
    from sightline.inference.out_of_domain import Domain

    known = Domain.load(session.folder)
    score = float(known.scores(session, [picture])[0])
    if score > known.bound:
        typer.echo(
            "sightline: this picture looks unlike the pictures the model was trained on "
            f"(score {score:.1f}, above {known.bound:.1f}): do not trust what it says",
            err=True,
        )
    return {"out_of_domain": score > known.bound, "domain_score": round(score, 2)}
