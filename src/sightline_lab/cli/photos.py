"""`sightline lab photos`: what a model of photographs says about freely licensed pictures; `photo-results`:
the figures of its trainings."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE
from sightline_lab.cli.app import app


@app.command()
def photos(
    bundle: Annotated[Path | None, BUNDLE] = None,
    out: Annotated[
        Path | None, typer.Option("-o", help="The checkout to write to; default: the one around.")
    ] = None,
) -> None:
    """Describe the free photos that scikit-image ships, with maps: metrics/photos.json,
    docs/reports/photos.md and its picture."""
    from sightline.cli.explain import open_model
    from sightline.core.artifacts import read_json
    from sightline.inference.out_of_domain import OODDetector
    from sightline_lab.photos import photo_examples

    model, params = open_model(bundle)
    folder = model.session.folder
    if read_json(folder / "config.json")["source"] == "scenes":
        raise checkout_files.CheckoutError(
            f"photos: {folder} was trained on rendered scenes, expected a model of photographs: "
            "docs/reports/flickr8k.md says how one is built"
        )
    here, explain = out or checkout_files.root(), params.explain
    photo_examples.run(here, model, OODDetector.load(folder), explain.method, explain.colormap)
    typer.echo(
        f"photos: {photo_examples.RESULT}, {photo_examples.PAGE} and {photo_examples.PICTURE} in {here}"
    )


@app.command()
def photo_results(
    checkouts: Annotated[
        list[Path], typer.Argument(help="Each with a training of the profile flickr8k that passed `report`.")
    ],
) -> None:
    """Collect the figures of the photo profile: metrics/flickr8k.json and docs/reports/flickr8k.md.

    A seed that is there already is replaced; the others stay. Trainings whose text tower holds a pretrained
    encoder stand by themselves.
    """
    from sightline.core import artifacts
    from sightline_lab import report_page
    from sightline_lab.photos import photo_results_page

    here = checkout_files.root()
    path = here / photo_results_page.RESULT
    result = artifacts.read_json(path) if path.is_file() else {}
    for found in [photo_results_page.training(checkout) for checkout in checkouts]:
        result = photo_results_page.merged(result, *found)
    photo_results_page.page(result)  # raises before anything is written
    artifacts.write_json(path, result)
    report_page.write(here, photo_results_page)
    typer.echo(f"photo-results: {photo_results_page.RESULT} and {photo_results_page.PAGE}")
