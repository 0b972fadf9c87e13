"""`sightline`: the commands of sightline.commands, one module a theme. Nothing here imports torch."""

import sys

from sightline.commands import (  # noqa: F401  (each registers its commands)
    checkout,
    data,
    doctor,
    explain,
    hallucination,
    index,
    load,
    model,
    serve,
    speed,
    studies,
)
from sightline.commands.app import app


def main() -> None:
    """The console script: a user's mistake is one line on stderr and exit code 2, never a traceback."""
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"sightline: {error}", file=sys.stderr)
        sys.exit(2)
