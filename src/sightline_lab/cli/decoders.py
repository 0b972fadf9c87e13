"""`sightline lab decoders`: our own decoder against a causal language model."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command()
def decoders(
    scale: Annotated[float, typer.Option(help="Share of fine-tuning epochs that our own gets.")] = 1.0,
    seeds: Annotated[int, typer.Option(min=1, help="How many, from the seed of params.yaml on.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once, a core each.")] = 2,
    answers: Annotated[
        int, typer.Option(min=1, help="That ONNX Runtime and PyTorch are compared on.")
    ] = 2000,
) -> None:
    """Train our own decoder and a causal language model with random weights at equal compute; write
    metrics/decoders.json and docs/reports/decoders.md.

    The causal one of the first seed is exported too, and its answers are compared with PyTorch's. An
    interrupted study resumes; what was measured of other profiles is kept. It needs data/vqa, for the
    tokenizer: run `dvc repro convert` before.
    """
    from sightline.core import artifacts
    from sightline_lab import report_page
    from sightline_lab.ablations.run_ablations import Study
    from sightline_lab.ablations.workspaces import FOLDER
    from sightline_lab.decoders import decoder_arms, decoders_page, exported_answers, random_language_model

    here = checkout_files.root()
    tokenizer = artifacts.load(here / "data" / "vqa", "vqa").path / "tokenizer.json"
    folder, compared = here / FOLDER / "language_model", Path(FOLDER) / "decoders.json"
    runner = Study(here, decoder_arms.arms(folder), compared)
    first = runner.params.seed
    millions = random_language_model.write(folder, tokenizer, first)
    runner.run([decoder_arms.CAUSAL], list(range(first, first + seeds)), scale, jobs, typer.echo)
    result = artifacts.read_json(here / compared)
    typer.echo(f"exporting the causal one of seed {first}, {answers} answers")
    result["exported"] = exported_answers.run(runner, result["arms"][decoder_arms.CAUSAL], first, answers)
    result["language_model"] = random_language_model.SHAPE | {"millions": round(millions, 2)}
    # Where the checkout lies says nothing about its models.
    result = json.loads(json.dumps(result).replace(f"{here}/", ""))
    decoders_page.merge(here / decoders_page.RESULT, result)
    report_page.write(here, decoders_page)
    typer.echo(f"decoders: {decoders_page.RESULT} and {decoders_page.PAGE}")
