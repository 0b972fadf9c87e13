"""`sightline lab search-bench`: latency and recall of the search against its size."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, open_session
from sightline_lab.cli.app import app


class Part(StrEnum):
    """What is measured."""

    all = "all"
    search = "search"
    cold = "cold"


@app.command("search-bench")
def search_bench(
    sizes: Annotated[str, typer.Option(help="Vectors, with commas; default: 10000,100000,1000000.")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Of a query.")] = 2,
    part: Annotated[Part, typer.Option(help="Measure the search alone, or the cold start alone.")] = Part.all,
    width: Annotated[int, typer.Option(min=8, help="Numbers of a vector, for the cold start.")] = 512,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Compare exact search with inverted files and graphs at several sizes, and measure what a search costs a
    process that starts cold; write metrics/search.json, docs/reports/search-speed.md and its picture.

    Sizes that another run measured for the same model are kept. A million vectors take a quarter of an hour
    or more (a graph, built by one thread so that it is the same every time) and 7 GiB of memory, the
    smaller sizes a few minutes; all want idle cores.
    """
    from sightline.core import artifacts
    from sightline.core.params.loader import load_params
    from sightline_lab.bench import ann_benchmark, ann_page, cold_search, paired_timing

    here = checkout_files.root()
    load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    before = artifacts.read_json(here / ann_page.RESULT) if (here / ann_page.RESULT).is_file() else None
    seed = load_params(here / "params.yaml").seed
    if part != Part.search:
        cold = cold_search.run(cold_search.COLD_SIZES, width, seed, typer.echo)
        cold |= {"processor": paired_timing.processor(), "load": load}
    else:
        cold = (before or {}).get("cold")
    if part == Part.cold:
        if before is None:
            raise checkout_files.CheckoutError(f"{ann_page.RESULT} is not there: leave --part out once")
        _write(here, before | {"cold": cold})
        return
    try:
        wanted = [int(size) for size in sizes.split(",")] if sizes else list(ann_benchmark.SIZES)
    except ValueError as error:
        raise typer.BadParameter(f"--sizes is {sizes!r}, expected numbers with commas") from error
    session = open_session(bundle)
    embeddings = ann_benchmark.read(session, here / "data" / "raw")
    result = ann_benchmark.run(embeddings, wanted, threads, seed, typer.echo)
    result |= {
        "machine": {"processor": paired_timing.processor(), "load": load},
        "width": embeddings.words_QE.shape[1],
    }
    result["model"] = session.search_digest()
    if before is not None:
        result = ann_benchmark.merged(before, result)
    _write(here, result | {"cold": cold} if cold else result)


def _write(here: Path, result: dict[str, Any]) -> None:
    from sightline.core import artifacts
    from sightline_lab.bench import ann_page

    artifacts.write_json(here / ann_page.RESULT, result)
    ann_page.write(here)
    typer.echo(f"search-bench: {ann_page.RESULT} and {ann_page.PAGE}")
