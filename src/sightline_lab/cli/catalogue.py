"""`sightline lab catalogue`: a rendered product catalogue with its truth."""

from pathlib import Path
from typing import Annotated

import typer

from sightline_lab.cli.app import app


@app.command()
def catalogue(
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    items: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 5000,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    language: Annotated[str, typer.Option(help="Of the texts: en or de.")] = "en",
    copies: Annotated[float, typer.Option(min=0, max=0.5, help="Share of true copies of pictures.")] = 0.01,
    side: Annotated[int, typer.Option(min=32, max=1024, help="Of the pictures, in pixels, about.")] = 256,
) -> None:
    """Draw a product catalogue (items.csv, images/) and write what its pictures show (truth.jsonl).

    Nothing in it is real. 5,000 items take about two minutes, 200,000 with --side 64 half an hour.
    """
    from sightline.core import progress
    from sightline_lab.catalogue import writer

    if language not in writer.LANGUAGES:
        raise typer.BadParameter(f"--language is {language!r}, expected {' or '.join(writer.LANGUAGES)}")
    if out.exists():
        raise typer.BadParameter(f"{out} exists; name a folder that does not")
    with progress.step("items of the catalogue", items) as bar:
        for _ in writer.write(out, items, seed, language, copies, side):
            bar.advance()
    typer.echo(f"catalogue: {items} items in {out / 'items.csv'}, their truth in {out / 'truth.jsonl'}")
