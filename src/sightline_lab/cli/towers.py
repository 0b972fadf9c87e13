"""`sightline lab towers`: image towers of every family at three sizes each."""

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command()
def towers() -> None:
    """Run, train, export and explain an image tower of every family; write metrics/towers.json and
    docs/reports/towers.md, tower by tower: a run that is interrupted leaves a page of what it tried.

    Random weights, no download. About ten minutes on two cores.
    """
    from sightline.core import artifacts
    from sightline_lab import report_page
    from sightline_lab.towers import towers_page, towers_study

    here = checkout_files.root()
    result = {"planned": len(towers_study.CASES), "rows": []}
    for row in towers_study.run():
        result["rows"].append(row)
        artifacts.write_json(here / towers_page.RESULT, result)
        report_page.write(here, towers_page)
    typer.echo(f"towers: {towers_page.RESULT} and {towers_page.PAGE}")
