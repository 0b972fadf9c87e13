"""`sightline lab dual-encoder`: a pretrained dual encoder before and after tuning."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command(name="dual-encoder")
def dual_encoder(
    pretrained: Annotated[int, typer.Option(min=64, help="Scenes that the checkpoints learn.")] = 800,
    steps: Annotated[int, typer.Option(min=2, help="Steps that they learn for.")] = 150,
    train: Annotated[int, typer.Option(min=64, help="Scenes that they are tuned on.")] = 640,
    held_out: Annotated[int, typer.Option(min=8, help="Pictures of val, and of test.")] = 200,
    epochs: Annotated[float, typer.Option(help="Of the tuning.")] = 8.0,
    seed: Annotated[int, typer.Option(min=0)] = 7,
) -> None:
    """Train a small CLIP and SigLIP in Hugging Face's layout, load them and tune them three ways; write
    metrics/dual_encoder.json and docs/reports/dual-encoder.md.

    About ten minutes.
    """
    from sightline.core import artifacts
    from sightline_lab import report_page
    from sightline_lab.pretrained import tuning_page, tuning_study

    here, sizes = checkout_files.root(), tuning_study.Sizes(pretrained, steps, train, held_out, epochs)
    with tempfile.TemporaryDirectory() as scratch:
        result = tuning_study.measure(here, Path(scratch), sizes, seed)
    artifacts.write_json(here / tuning_page.RESULT, result)
    report_page.write(here, tuning_page)
    typer.echo(f"dual-encoder: {tuning_page.RESULT} and {tuning_page.PAGE}")
