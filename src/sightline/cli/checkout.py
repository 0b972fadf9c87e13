"""`sightline params`, `estimate`, `demo`, `docs`: the checkout and its documents."""

import json
import operator
import shutil
import subprocess
import sys
import webbrowser
from functools import reduce
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import AS_JSON, app
from sightline.cli.ask import ask
from sightline.core.params import loader, sections

DEMO = ".demo"  # the copy of the checkout that `demo` builds
FRONT_PICTURE = "item01_color.png"  # of the explained items, the one the README shows


@app.command()
def params(as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Print every resolved parameter and where its value came from."""
    resolved = loader.load_params(checkout_files.root() / "params.yaml")
    values = resolved.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(values, sort_keys=True))
        return
    for key in sections.leaves():
        value = reduce(operator.getitem, key.split("."), values)
        typer.echo(f"{key} = {value!r}   ({resolved.origin[key]})")


@app.command()
def estimate() -> None:
    """Say what a full rebuild of the chosen profile takes, before it starts."""
    here = checkout_files.root()
    for line in checkout_files.estimate(here, loader.load_params(here / "params.yaml").profile):
        typer.echo(line)


@app.command()
def demo() -> None:
    """Run the smoke profile in .demo/ and open a page: a question, its answer, the regions behind it."""
    here = checkout_files.root()
    target = here / DEMO
    for line in checkout_files.estimate(here, "smoke"):
        typer.echo(line.replace("repro:", "demo:", 1))
    checkout_files.copy(here, target, "smoke")
    done = subprocess.run(["dvc", "repro"], cwd=target)
    if done.returncode:
        raise typer.Exit(done.returncode)
    ask(bundle=target / "models" / "bundle")
    page = target / "plots" / "explain" / "index.html"
    typer.echo(
        f"demo: the page with maps is {page.relative_to(here)}; the model is tiny and often wrong: "
        "`make repro` builds the real one"
    )
    if sys.stdout.isatty():
        webbrowser.open(page.as_uri())


@app.command()
def docs() -> None:
    """Write the measured tables (results, cost per stage) into README.md."""
    from sightline.cli import readme_tables

    here = checkout_files.root()
    for built in (here, here / DEMO):
        checkout_files.record_cost(here, built)
    readme_tables.fill(here)
    picture = here / "plots" / "explain" / "pictures" / FRONT_PICTURE
    shutil.copyfile(picture, here / "docs" / "reports" / "answer.png")
    typer.echo("docs: README.md now holds the figures of metrics/ and a picture of plots/explain")
