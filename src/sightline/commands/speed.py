"""`sightline bench`: how fast every form of the model is, and other libraries beside it."""

import os
from typing import Annotated

import typer

from sightline import artifacts, project
from sightline.commands.app import app
from sightline.params.loader import load_params


@app.command()
def bench(
    rounds: Annotated[
        int, typer.Option(min=1, help="How often every form runs; more narrows the quartiles.")
    ] = 7,
    threads: Annotated[int, typer.Option(min=0, help="Of every form; 0: one a core.")] = 0,
) -> None:
    """Time every form of the model and other libraries; write metrics/benchmark.json and docs/bench.md.

    Takes about six minutes and wants idle cores.
    """
    from sightline.bench import report, run

    here = project.root()
    params = load_params(here / "params.yaml")
    result = run.run(here, params, rounds, threads or len(os.sched_getaffinity(0)), typer.echo)
    artifacts.write_json(here / report.RESULT, result)
    report.write(here)
    typer.echo(f"bench: {report.RESULT} and {report.PAGE}; the ratios are what carries over to other machines")
