"""`sightline lab scale`: memory and time of every stage against the number of rows."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command()
def scale(
    rows: Annotated[str, typer.Option(help="Numbers of rows, with commas.")] = "2000,20000,200000",
    side: Annotated[int, typer.Option(min=16, max=512, help="Of the pictures, in pixels.")] = 40,
    scratch: Annotated[Path | None, typer.Option(help="A new folder to work in, which stays.")] = None,
) -> None:
    """Run every stage over synthetic tables with a tiny model; write metrics/scale.json and
    docs/reports/scale-data.md.

    Sizes that another run measured are kept. On two idle cores 2,000 rows take two minutes, 20,000 about
    five, 200,000 most of an hour and 2 GB of disk.
    """
    from sightline_lab import report_page
    from sightline_lab.scale import scale_page, scale_study

    here = checkout_files.root()
    try:
        wanted = [int(number) for number in rows.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--rows is {rows!r}, expected numbers with commas") from error
    with tempfile.TemporaryDirectory() as temporary:
        for number in wanted:
            folder = (scratch or Path(temporary)) / str(number)
            for result in scale_study.run(here, folder, number, side, 7, typer.echo):
                scale_study.merge(here / scale_page.RESULT, result)
                report_page.write(here, scale_page)
    typer.echo(f"scale: {scale_page.RESULT} and {scale_page.PAGE}")
