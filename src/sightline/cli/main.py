"""`sightline`: the commands of sightline.cli, one module a group. Nothing here imports torch."""

import sys
from importlib.metadata import entry_points

from sightline.cli import analyse, ask, checkout, doctor, explain, index, serve  # noqa: F401  (they register)
from sightline.cli.app import app

LAB = "lab"


def add_lab() -> None:
    """Adds the group `lab` of the distribution that holds the experiments, where it is installed."""
    for found in entry_points(group="sightline.commands", name=LAB):
        app.add_typer(found.load(), name=LAB)


def main() -> None:
    """The console script: a user's mistake is one line on stderr and exit code 2, never a traceback."""
    add_lab()
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"sightline: {error}", file=sys.stderr)
        sys.exit(2)
