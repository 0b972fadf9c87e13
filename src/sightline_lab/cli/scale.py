"""`sightline lab scale` and `plan`: what every stage needs against the number of rows, and what follows."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app

SIZES = "2000,20000,200000,20000,2000"


@app.command()
def scale(
    rows: Annotated[str, typer.Option(help="Numbers of rows, with commas.")] = SIZES,
    side: Annotated[int, typer.Option(min=16, max=512, help="Of the pictures, in pixels.")] = 40,
    scratch: Annotated[Path | None, typer.Option(help="A new folder to work in, which stays.")] = None,
) -> None:
    """Run every stage over synthetic tables with a tiny model; write metrics/scale.json and
    docs/reports/scale-data.md.

    Sizes that another run measured are kept. A size that is named twice counts by the run that took less of
    the processors: small ones before and after a large one tell what the machine did meanwhile. On two idle
    cores 2,000 rows take two minutes, 20,000 about five, 200,000 most of an hour and 2 GB of disk.
    """
    from sightline_lab import report_page
    from sightline_lab.scale import scale_page, scale_study

    here = checkout_files.root()
    try:
        wanted = [int(number) for number in rows.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--rows is {rows!r}, expected numbers with commas") from error
    session = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory() as temporary:
        for place, number in enumerate(wanted):
            folder = (scratch or Path(temporary)) / f"{place}-{number}"
            for result in scale_study.run(here, folder, number, side, 7, typer.echo):
                scale_study.merge(here / scale_page.RESULT, result | {"session": session})
                report_page.write(here, scale_page)
    typer.echo(f"scale: {scale_page.RESULT} and {scale_page.PAGE}")


@app.command()
def plan(
    cores: Annotated[int, typer.Option(min=1, help="Of a machine.")] = 32,
    memory: Annotated[float, typer.Option(min=1, help="Of a machine, GiB.")] = 256,
    link: Annotated[float, typer.Option(min=0.01, help="Of a machine to the others, Gbit/s.")] = 10,
) -> None:
    """Reckon a build of 10 million to a billion pairs on 1, 8 and 64 machines; write metrics/plan.json and
    docs/reports/plan.md.

    Runs nothing: it reads what `sightline lab scale` and a build of the default model measured.
    """
    from sightline.core import artifacts
    from sightline_lab import report_page
    from sightline_lab.scale import plan_page
    from sightline_lab.scale.scale_plan import Site

    here = checkout_files.root()
    artifacts.write_json(here / plan_page.RESULT, plan_page.reckon(here, Site(1, cores, memory, link)))
    report_page.write(here, plan_page)
    typer.echo(f"plan: {plan_page.RESULT} and {plan_page.PAGE}")
