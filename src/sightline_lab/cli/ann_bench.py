"""`sightline lab search-bench`: latency and recall of the search against its size."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, open_session
from sightline_lab.cli.app import app


@app.command("search-bench")
def search_bench(
    sizes: Annotated[str, typer.Option(help="Vectors, with commas; default: 10000,100000,1000000.")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Of a query.")] = 2,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Compare exact search with inverted files and graphs at several sizes; write metrics/search.json,
    docs/reports/search-speed.md and its picture.

    Sizes that another run measured for the same model are kept. A million vectors take a quarter of an hour
    or more (a graph, built by one thread so that it is the same every time) and 7 GiB of memory, the
    smaller sizes a few minutes; all want idle cores.
    """
    from sightline.core import artifacts
    from sightline.core.params.loader import load_params
    from sightline_lab.bench import ann_benchmark, ann_page, paired_timing

    here = checkout_files.root()
    try:
        wanted = [int(size) for size in sizes.split(",")] if sizes else list(ann_benchmark.SIZES)
    except ValueError as error:
        raise typer.BadParameter(f"--sizes is {sizes!r}, expected numbers with commas") from error
    load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    session = open_session(bundle)
    embeddings = ann_benchmark.read(session, here / "data" / "raw")
    result = ann_benchmark.run(
        embeddings, wanted, threads, load_params(here / "params.yaml").seed, typer.echo
    )
    result |= {
        "machine": {"processor": paired_timing.processor(), "load": load},
        "width": embeddings.words_QE.shape[1],
    }
    result["model"] = session.search_digest()
    if (here / ann_page.RESULT).is_file():
        result = ann_benchmark.merged(artifacts.read_json(here / ann_page.RESULT), result)
    artifacts.write_json(here / ann_page.RESULT, result)
    ann_page.write(here)
    typer.echo(f"search-bench: {ann_page.RESULT} and {ann_page.PAGE}")
