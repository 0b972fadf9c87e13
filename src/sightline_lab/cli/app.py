"""The group of commands that `sightline lab` is."""

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Experiments on Sightline itself: ablations, hallucination, faithfulness, benchmarks.",
)
