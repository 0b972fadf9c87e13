"""`sightline lab bench`, `pruning`: speed and size of the model, and their cost in quality."""

import os
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command()
def bench(
    rounds: Annotated[
        int, typer.Option(min=1, help="How often every form runs; more narrows the quartiles.")
    ] = 7,
    threads: Annotated[int, typer.Option(min=0, help="Of every form; 0: one a core.")] = 0,
) -> None:
    """Time every form of the model and other libraries; write metrics/benchmark.json, docs/reports/bench.md.

    Takes about half an hour and wants idle cores.
    """
    from sightline.core import artifacts
    from sightline.core.params.loader import load_params
    from sightline_lab import report_page
    from sightline_lab.bench import bench_page, run_bench

    here = checkout_files.root()
    params = load_params(here / "params.yaml")
    result = run_bench.run(here, params, rounds, threads or len(os.sched_getaffinity(0)), typer.echo)
    artifacts.write_json(here / bench_page.RESULT, result)
    report_page.write(here, bench_page)
    typer.echo(f"bench: {bench_page.RESULT} and {bench_page.PAGE}; ratios carry over to other machines")


@app.command()
def pruning(
    questions: Annotated[int, typer.Option(min=1, help="Short questions of val for every model.")] = 500,
) -> None:
    """Compare criteria of pruning at equal size; write metrics/pruning.json and docs/reports/pruning.md."""
    from sightline.core import artifacts
    from sightline.core.params.loader import load_params
    from sightline_lab import report_page
    from sightline_lab.pruning import pruning_page
    from sightline_lab.pruning import pruning_study as study

    here = checkout_files.root()
    result = study.compare(here, load_params(here / "params.yaml"), questions, typer.echo)
    artifacts.write_json(here / pruning_page.RESULT, result)
    report_page.write(here, pruning_page)
    typer.echo(f"pruning: {pruning_page.RESULT} and {pruning_page.PAGE} hold {len(result['rows'])} models")
