"""`sightline lab faults`: promises of reliability, tried with random faults."""

from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command()
def faults(
    rows: Annotated[list[int] | None, typer.Argument(help="Numbers of promises; default: all.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="The long battery of each, not the short one.")
    ] = False,
    cases: Annotated[int, typer.Option(min=0, help="So many cases of each; 0: as the battery has.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the faults.")] = 7,
    replay: Annotated[int, typer.Option(help="Run this case alone, of one row, and write nothing.")] = -1,
) -> None:
    """Try what Sightline promises against random faults; write metrics/reliability.json and
    docs/reports/reliability.md.

    An interrupted run goes on. A failed case ends the command with 1 after all others were tried.
    """
    import signal

    from sightline.core import artifacts, progress
    from sightline_lab import report_page
    from sightline_lab.ablations.workspaces import FOLDER
    from sightline_lab.faults import battery, reliability_page
    from sightline_lab.faults.promises import PROMISES

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: servers that run are ended too
    here, chosen = checkout_files.root(), rows or list(PROMISES)
    if unknown := sorted(set(chosen) - set(PROMISES)):
        raise typer.BadParameter(f"no row {unknown[0]}; there are {', '.join(map(str, PROMISES))}")
    if replay >= 0:
        if len(chosen) != 1:
            raise typer.BadParameter("--replay wants the one row that the case is of")
        try:
            battery.replay(PROMISES[chosen[0]], seed, replay)
        except battery.Broken as broken:
            typer.echo(f"faults: row {chosen[0]}, case {replay}: {broken}", err=True)
            raise typer.Exit(1) from broken
        typer.echo(f"faults: row {chosen[0]}, case {replay}: it holds")
        return
    path = here / reliability_page.RESULT
    kept = {row["row"]: row for row in artifacts.read_json(path)["rows"]} if path.is_file() else {}
    failed = 0
    for number in chosen:
        promise = PROMISES[number]
        wanted = cases or (promise.full if full else promise.gate)
        try:
            with progress.step(f"row {number}, {promise.title.lower()}"):
                outcome = battery.run(promise, wanted, seed, here / FOLDER / "faults", typer.echo)
        except battery.Missing as missing:
            typer.echo(f"row {number}, {promise.title.lower()}: not tried: {missing}")
            continue
        failed += outcome.failed
        kept[number] = reliability_page.record(promise, outcome, seed)
        artifacts.write_json(path, {"rows": [kept[row] for row in sorted(kept)]})
        report_page.write(here, reliability_page)
        typer.echo(
            f"row {number}, {promise.title.lower()}: {outcome.tried} {promise.unit}, {outcome.failed} failed "
            f"in {outcome.seconds:.0f} s"
        )
    typer.echo(f"faults: {reliability_page.RESULT} and {reliability_page.PAGE}")
    if failed:
        raise typer.Exit(1)
