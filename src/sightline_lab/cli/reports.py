"""`sightline lab reports`: every published table, page and picture anew."""

from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command()
def reports(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost only.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="One report of lab/reports.yaml; repeatable.")
    ] = None,
) -> None:
    """Write every page of docs/reports that is out of date; first print the plan and its cost.

    Finished reports are kept: the same command resumes an interrupted run.
    """
    from sightline_lab.reports import run_reports

    try:
        run_reports.run(checkout_files.root(), only or [], dry_run, typer.echo)
    except run_reports.ReportFailed as error:
        typer.echo(f"sightline: {error}", err=True)
        raise typer.Exit(1) from error
