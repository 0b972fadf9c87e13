"""`sightline search-bench`: how fast the search is, and how much it finds."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sightline import artifacts, project
from sightline.commands.app import BUNDLE, app, open_session
from sightline.params.loader import load_params


@app.command("search-bench")
def search_bench(
    sizes: Annotated[str, typer.Option(help="Vectors, with commas; default: 10000,100000,1000000.")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Of a query.")] = 2,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Compare exact search with inverted files and graphs at several sizes; write metrics/search.json,
    docs/search-speed.md and its picture.

    A million vectors take about half an hour and 7 GiB of memory, and want idle cores.
    """
    from sightline.bench import nearest, nearest_page, timing

    here = project.root()
    try:
        wanted = [int(size) for size in sizes.split(",")] if sizes else list(nearest.SIZES)
    except ValueError as error:
        raise typer.BadParameter(f"--sizes is {sizes!r}, expected numbers with commas") from error
    load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    known = nearest.read(open_session(bundle), here / "data" / "raw")
    result = nearest.run(known, wanted, threads, load_params(here / "params.yaml").seed, typer.echo)
    result |= {"machine": {"processor": timing.processor(), "load": load}, "width": known.words_QE.shape[1]}
    artifacts.write_json(here / nearest_page.RESULT, result)
    nearest_page.write(here)
    typer.echo(f"search-bench: {nearest_page.RESULT} and {nearest_page.PAGE}")
