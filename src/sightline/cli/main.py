"""`sightline`: the commands of sightline.cli, one module a group. Nothing here imports torch."""

import sys
from importlib.metadata import entry_points

from sightline.cli import (  # noqa: F401
    ask,
    audit,
    checkout_files,
    conversion,
    data_commands,
    explain,
    init,
    monitor,
    profile_commands,
    project_commands,
    red_team,
    release,
    serve,
    share,
    tune,
)
from sightline.cli.app import EXPERIMENTS, app, say

LAB = "lab"
ANYTHING = {"ignore_unknown_options": True, "allow_extra_args": True}


def add_lab() -> None:
    """Adds the group `lab` of the distribution that holds the experiments, or a command that explains
    how to install it."""
    installed = next(iter(entry_points(group="sightline.commands", name=LAB)), None)
    if installed:
        app.add_typer(installed.load(), name=LAB, rich_help_panel=EXPERIMENTS)
    else:
        app.command(LAB, rich_help_panel=EXPERIMENTS, context_settings=ANYTHING)(lab_is_missing)


def lab_is_missing() -> None:
    """Experiments on Sightline itself (not installed)."""
    raise checkout_files.CheckoutError(
        "the experiments are not installed here: run `make setup` in a checkout of Sightline"
    )


def main() -> None:
    """The console script: a user's mistake is one line on stderr and exit code 2, never a traceback."""
    add_lab()
    try:
        app(prog_name="sightline")
    except (ValueError, OSError) as error:
        say(f"sightline: {error}", err=True)
        sys.exit(2)
