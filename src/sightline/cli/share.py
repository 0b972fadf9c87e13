"""`sightline push-to-hub` and `save-pretrained`: the model for others."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files, dvc_outs
from sightline.cli.app import BUNDLE, SHARE, app, bundle_folder, installed_version, say

READ_BY = (  # what the figures are made from
    ("models/bundle", "evaluate"),
    ("models/bundle", "red_team"),
    ("metrics/evaluate", "report"),
    ("metrics/red_team", "report"),
)


@app.command(rich_help_panel=SHARE)
def push_to_hub(
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="On the Hugging Face Hub.")],
    bundle: Annotated[Path | None, BUNDLE] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    license: Annotated[
        str | None,
        typer.Option(help="Of the model, as the Hub calls it; default: that of the file LICENSE, or other."),
    ] = None,
    dry_run: Annotated[
        Path | None, typer.Option(help="Write what would be uploaded to this folder, and upload nothing.")
    ] = None,
    even_if_gate_failed: Annotated[
        bool, typer.Option("--even-if-gate-failed", help="Upload a model below its bounds; the card says it.")
    ] = False,
) -> None:
    """Publish the bundle on the Hugging Face Hub with a model card: data, figures with intervals, limits.

    The token is that of `hf auth login` or HF_TOKEN. An upload is one commit: it arrives whole or not at all.
    """
    from sightline.core import progress
    from sightline.share import measured_bundle, published_bundle

    if repository.count("/") != 1 or not all(repository.split("/")):
        raise typer.BadParameter(f"give OWNER/NAME, not {repository!r}")
    folder = bundle_folder(bundle)
    measured = read_measured(folder)
    failed = [check.line() for check in measured.checks if check.passed is False]
    if failed and not even_if_gate_failed:
        raise checkout_files.CheckoutError(
            f"the quality gate did not pass, nothing was published: {'; '.join(failed)}; "
            "--even-if-gate-failed publishes it with this in its card"
        )
    chosen = license or measured_bundle.license_of(measured.checkout)
    with tempfile.TemporaryDirectory() as scratch:
        out = dry_run or Path(scratch) / "bundle"
        with progress.step("preparing and checking"):
            prepared = published_bundle.prepare(folder, out, measured.published(repository, chosen))
        say(f"push-to-hub: {len(prepared.files)} files, {prepared.size / 1e6:.2f} MB, license {chosen}")
        for line in published_bundle.publishes(out):
            say(f"push-to-hub: {line}")
        for line in failed:
            say(f"push-to-hub: {line}")
        if dry_run is not None:
            say(f"push-to-hub: wrote {dry_run}, uploaded nothing; read {dry_run / 'README.md'}")
            say(f"try: sightline push-to-hub {repository}")
            return
        _upload(prepared, repository, private)


def _upload(prepared, repository: str, private: bool) -> None:
    from sightline.share import hub_upload

    address, commit, gone = hub_upload.upload(prepared, repository, private)
    if gone:
        say(f"push-to-hub: removed {', '.join(gone)}; the repository's history keeps them")
    say(f"push-to-hub: {address} holds the bundle as commit {commit}")
    name = repository.split("/")[-1]
    say(f"try: hf download {repository} --revision {commit} --local-dir {name}")
    say(f"     sightline ask --bundle {name}")


def read_measured(folder: Path, *further: str):
    """What the checkout that a bundle lies in measured of it. Raises CheckoutError where that, or one of the
    `further` outputs that the caller reads, is not there, or is of another bundle."""
    from sightline.core.artifacts import read_json
    from sightline.core.params import loader
    from sightline.evaluate import quality_gate
    from sightline.share.measured_bundle import MeasuredBundle

    here = checkout_files.root(folder)
    built = here / "models" / "bundle"
    if folder.resolve() != built.resolve():
        raise checkout_files.CheckoutError(
            f"{folder}: the figures in {here / 'metrics'} are those of {built}; give that bundle"
        )
    outs = {out.path: out for out in dvc_outs.read(here)}
    for name in ("models/bundle", "metrics/summary.json", *further):
        if name not in outs or not outs[name].is_as_recorded:
            raise checkout_files.CheckoutError(
                f"{here / name} is not what dvc.lock records, so nobody knows what its figures are of: run "
                "`dvc repro`"
            )
    if old := [stage for name, stage in READ_BY if stage in dvc_outs.outdated(here, name)]:
        raise checkout_files.CheckoutError(
            f"the figures in {here / 'metrics'} are of an earlier bundle: run `dvc repro {' '.join(old)}`"
        )
    params, summary = loader.load_params(here / "params.yaml"), read_json(here / "metrics" / "summary.json")
    try:
        checks = quality_gate.checks(summary, params.gate, params.evaluate.splits[0])
    except KeyError as error:
        raise checkout_files.CheckoutError(
            f"{here / 'metrics' / 'summary.json'}: an earlier version of Sightline wrote it ({error} is "
            "missing): run `dvc repro`"
        ) from error
    return MeasuredBundle(here, params, summary, checks, installed_version())


@app.command(rich_help_panel=SHARE)
def save_pretrained(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that is made.")],
) -> None:
    """Write the trained towers in the layouts of transformers, timm and torchvision, for other programs.

    Towers of Sightline alone stay where they are, and are named.
    """
    models = checkout_files.root() / "models"
    if not (models / "clip").exists():
        raise checkout_files.CheckoutError(f"no trained model at {models / 'clip'}: run `dvc repro align`")
    from sightline.share import pretrained_layouts

    for part in pretrained_layouts.save(models, out):
        if part.loader:
            say(f"save-pretrained: {part.name} ({part.tower}): {part.loader.format(folder=out / part.name)}")
        else:
            say(f"save-pretrained: {part.name} ({part.tower}): Sightline's own, {pretrained_layouts.FORMAT}")
    say(f"try: the lines above in Python; {out / 'README.md'} has them too")
