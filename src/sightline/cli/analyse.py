"""`sightline analyse`: what is in the data."""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import AS_JSON, app
from sightline.core.params import loader


@app.command()
def analyse(
    table: Annotated[
        Path | None, typer.Argument(help="A CSV: title, description, image_url, id; default: the built data.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", help="Folder; default: plots/analysis.")] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Say what is in the data, and where it is one-sided: a page, pictures, a card and every figure."""
    from sightline.evaluate.dataset_report import corpus, dataset_card, write_report

    here = checkout_files.root()
    out = out or here / "plots" / "analysis"
    settings = loader.load_params(here / "params.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        if table is None:
            data = corpus.built(here / "data", settings)
        else:
            if settings.data.source != "csv":
                settings = checkout_files.params_of(here, "csv")
            data = corpus.table(table, settings, Path(scratch))
        found = write_report.run(data, out)
    if as_json:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    for line in dataset_card.lines(found):
        typer.echo(line)
    typer.echo(f"open {out / 'index.html'}")
