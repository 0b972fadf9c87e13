"""`sightline doctor`: what is wrong with this installation, and the cure."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.app import AS_JSON, BUNDLE, app


@app.command()
def doctor(bundle: Annotated[Path | None, BUNDLE] = None, as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Check packages, artifacts, DVC and folders. Exit code 1 when something is wrong."""
    from sightline.cli import diagnostics

    found = diagnostics.examine(Path.cwd(), bundle)
    wrong = [check for check in found if not check.ok]
    if as_json:
        typer.echo(json.dumps({"ok": not wrong, "checks": [vars(check) for check in found]}))
    else:
        for check in found:
            typer.echo(f"{'ok   ' if check.ok else 'WRONG'} {check.name}: {check.found}")
            if not check.ok:
                typer.echo(f"      cure: {check.cure}")
        typer.echo(f"doctor: {len(wrong)} of {len(found)} checks failed" if wrong else "doctor: all is well")
    if wrong:
        raise typer.Exit(1)
