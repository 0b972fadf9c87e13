"""`sightline lab own-tables`: a user's commands over a table, from `init` to the first search."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command(name="own-tables")
def own_tables(
    name: Annotated[str, typer.Argument(help="Of the table, on the page.")],
    table: Annotated[Path, typer.Argument(help="A CSV, TSV, parquet or JSON lines file.")],
    query: Annotated[str, typer.Option(help="Of the first search.")],
    scratch: Annotated[
        Path | None, typer.Option(help="A new folder for the repository, which stays.")
    ] = None,
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of `sightline init`, after --.")
    ] = None,
) -> None:
    """Build a user's own repository over a table, timed; write metrics/own_tables.json and
    docs/reports/own-tables.md.

    Tables that another run measured are kept. 2,000 rows take about six minutes on two idle cores.
    """
    from sightline_lab import report_page
    from sightline_lab.own_tables import own_table_page, own_table_study

    here = checkout_files.root()
    with tempfile.TemporaryDirectory() as temporary:
        home = scratch or Path(temporary) / "own"
        result = own_table_study.run(table.resolve(), options or [], query, home.resolve(), typer.echo)
        own_table_study.merge(here / own_table_page.RESULT, name, result)
        report_page.write(here, own_table_page)
    typer.echo(f"own-tables: {own_table_page.RESULT} and {own_table_page.PAGE}")
