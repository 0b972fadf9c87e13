"""`sightline lab duplicates`: near-duplicates against look-alikes."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command()
def duplicates(
    items: Annotated[int, typer.Option(min=50, help="Rows of the catalogue that is drawn.")] = 3000,
    catalogue: Annotated[Path | None, typer.Option(help="A drawn one, instead of a new one.")] = None,
    photos: Annotated[Path | None, typer.Option(help="A folder of photos (*.jpg) as well.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 7,
) -> None:
    """Plant copies in a rendered catalogue and among photos, look for them; write metrics/duplicates.json and
    docs/reports/duplicates.md.

    About ten minutes. Without --photos the figures of photos that were measured before stay.
    """
    from sightline.core import artifacts
    from sightline_lab import report_page
    from sightline_lab.catalogue import writer
    from sightline_lab.duplicates import duplicates_page, duplicates_study

    here = checkout_files.root()
    known = (here / duplicates_page.RESULT).is_file()
    before = artifacts.read_json(here / duplicates_page.RESULT) if known else {}
    with tempfile.TemporaryDirectory() as scratch:
        if catalogue is None:
            catalogue = Path(scratch) / "catalogue"
            for _ in writer.write(catalogue, items, seed, "en", duplicates_study.PLANTED, 256):
                pass
        result = {"catalogue": duplicates_study.measure(duplicates_study.of_catalogue(catalogue), seed)}
    if photos is not None:
        result["photos"] = duplicates_study.measure(duplicates_study.of_photos(photos, seed), seed)
    artifacts.write_json(here / duplicates_page.RESULT, before | result)
    report_page.write(here, duplicates_page)
    typer.echo(f"duplicates: {duplicates_page.RESULT} and {duplicates_page.PAGE}")
