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

    Sizes that another run measured for the same model are kept. A million vectors take a quarter of an hour
    or more (a graph, built by one thread so that it is the same every time) and 7 GiB of memory, the
    smaller sizes a few minutes; all want idle cores.
    """
    from sightline.bench import nearest, nearest_page, timing

    here = project.root()
    try:
        wanted = [int(size) for size in sizes.split(",")] if sizes else list(nearest.SIZES)
    except ValueError as error:
        raise typer.BadParameter(f"--sizes is {sizes!r}, expected numbers with commas") from error
    load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    session = open_session(bundle)
    known = nearest.read(session, here / "data" / "raw")
    result = nearest.run(known, wanted, threads, load_params(here / "params.yaml").seed, typer.echo)
    result |= {"machine": {"processor": timing.processor(), "load": load}, "width": known.words_QE.shape[1]}
    result["model"] = session.engine.search_digest()
    if (here / nearest_page.RESULT).is_file():
        result = nearest.merged(artifacts.read_json(here / nearest_page.RESULT), result)
    artifacts.write_json(here / nearest_page.RESULT, result)
    nearest_page.write(here)
    typer.echo(f"search-bench: {nearest_page.RESULT} and {nearest_page.PAGE}")
