"""`sightline lab load`: the server under load."""

from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import bundle_folder
from sightline_lab.cli.app import app


@app.command()
def load(
    part: Annotated[
        list[str] | None, typer.Option(help="One part of it, repeatable; default: all, about eight minutes.")
    ] = None,
    scale: Annotated[
        float, typer.Option(min=0.001, max=1, help="Share of the full lengths and counts; for a trial.")
    ] = 1.0,
) -> None:
    """Load a real server: throughput, overload, identical answers, hostile uploads, fuzzing, a rolling
    update behind nginx; write metrics/serving.json and docs/reports/load.md.

    Wants two idle cores, one for the server and one for the client.
    """
    from sightline_lab import report_page
    from sightline_lab.bench.run_bench import machine
    from sightline_lab.load_test import load_page, local_proxy, run_load_test

    chosen = part or [name for name in run_load_test.PARTS if name != "rolling" or local_proxy.NGINX]
    if not part and not local_proxy.NGINX:
        typer.echo("load: rolling is left out: there is no nginx here (apt-get install nginx-light)")
    if unknown := [name for name in chosen if name not in run_load_test.PARTS]:
        raise run_load_test.LoadError(
            f"no part {', '.join(unknown)}; there are {', '.join(run_load_test.PARTS)}"
        )
    here = checkout_files.root()
    setup = run_load_test.LoadSetup(
        here, bundle_folder(None), scale, lambda line: typer.echo(f"load: {line}")
    )
    pairs = run_load_test.question_pairs(setup)
    before = machine(1)  # the load of other programs, without that of the parts
    for name in chosen:
        load_page.merge(here, {name: run_load_test.PARTS[name](setup, pairs)}, before, scale)
    report_page.write(here, load_page)
    typer.echo(f"load: {load_page.RESULT} and {load_page.PAGE} hold {', '.join(chosen)}")
