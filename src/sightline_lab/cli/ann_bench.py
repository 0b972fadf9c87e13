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
    sizes: Annotated[str, typer.Option(help="Vectors, with commas; default: up to a million.")] = "",
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
    from sightline.core.machine import processor
    from sightline.core.params.loader import load_params
    from sightline_lab.bench import ann_benchmark, ann_page, cold_search

    here = checkout_files.root()
    load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    before = artifacts.read_json(here / ann_page.RESULT) if (here / ann_page.RESULT).is_file() else None
    seed = load_params(here / "params.yaml").seed
    try:
        wanted = [int(size) for size in sizes.split(",")] if sizes else []
    except ValueError as error:
        raise typer.BadParameter(f"--sizes is {sizes!r}, expected numbers with commas") from error
    machine = {"processor": processor(), "load": load}
    result = before
    if part != Part.cold:
        session = open_session(bundle)
        embeddings = ann_benchmark.read(session, here / "data" / "raw")
        result = ann_benchmark.run(embeddings, wanted or list(ann_benchmark.SIZES), threads, seed, typer.echo)
        result |= {
            "machine": machine, "width": embeddings.words_QE.shape[1], "model": session.search_digest()
        }  # fmt: skip
        if before is not None:
            result = ann_benchmark.merged(before, result) | {"cold": before.get("cold")}
    if result is None:
        raise checkout_files.CheckoutError(f"{ann_page.RESULT} is not there: leave --part out once")
    if part != Part.search:
        result["cold"] = cold_search.run(wanted or cold_search.COLD_SIZES, width, seed, typer.echo) | machine
    _write(here, {key: value for key, value in result.items() if value is not None})


def _write(here: Path, result: dict[str, Any]) -> None:
    from sightline.core import artifacts
    from sightline_lab import report_page
    from sightline_lab.bench import ann_page

    artifacts.write_json(here / ann_page.RESULT, result)
    report_page.write(here, ann_page)
    typer.echo(f"search-bench: {ann_page.RESULT} and {ann_page.PAGE}")
