"""`sightline load`: what the server takes."""

from typing import Annotated

import typer

from sightline import project
from sightline.commands.app import app, bundle_folder


@app.command()
def load(
    part: Annotated[
        list[str] | None, typer.Option(help="One part of it, repeatable; default: all, about six minutes.")
    ] = None,
    scale: Annotated[
        float, typer.Option(min=0.001, max=1, help="Share of the full lengths and counts; for a trial.")
    ] = 1.0,
) -> None:
    """Load a real server with answers, too much, hostile pictures; write metrics/serving.json, docs/load.md.

    Wants two idle cores, one for the server and one for the client.
    """
    from sightline.bench.run import machine
    from sightline.load import report, run

    chosen = part or list(run.PARTS)
    if unknown := [name for name in chosen if name not in run.PARTS]:
        raise run.LoadError(f"no part {', '.join(unknown)}; there are {', '.join(run.PARTS)}")
    here = project.root()
    place = run.Place(here, bundle_folder(None), scale, lambda line: typer.echo(f"load: {line}"))
    pairs = run.asked(place)
    before = machine(1)  # the load that others make, not the one that the parts do
    for name in chosen:
        report.merge(here, {name: run.PARTS[name](place, pairs)}, before, scale)
    report.write(here)
    typer.echo(f"load: {report.RESULT} and {report.PAGE} hold {', '.join(chosen)}")
