"""`sightline hallucination`: which way of decoding invents least, and at what price."""

from pathlib import Path
from typing import Annotated

import typer

from sightline import project
from sightline.commands.app import app
from sightline.params import loader


@app.command()
def hallucination(
    items: Annotated[int, typer.Option(help="Pictures per test split; 0 takes all.")] = 0,
    search_items: Annotated[int, typer.Option(help="Pictures per validation split; 0 takes all.")] = 0,
    model: Annotated[Path | None, typer.Option(help="Trained model; default: models/vlm.")] = None,
) -> None:
    """Try every idea of decoding.yaml on the validation splits, then read the test splits once; write
    metrics/hallucination.json and .csv, docs/hallucination.md and its picture."""
    import torch

    from sightline.artifacts import write_json
    from sightline.compress import cost
    from sightline.evaluate import tables
    from sightline.evaluate.hallucination import run, ways
    from sightline.evaluate.hallucination.asking import Asker
    from sightline.evaluate.predict import Asking
    from sightline.export import trained
    from sightline.study import hallucination as page

    here = project.root()
    params = loader.load_params(here / "params.yaml")
    ideas = ways.read(here / "decoding.yaml")
    torch.set_num_threads(params.threads)
    vlm = trained.load_vlm(model or here / "models" / "vlm")
    encoder = trained.session(vlm, None, here / "models" / "onnx")
    asking = Asking(params.evaluate.max_new_tokens, run.BATCH, beams=1)
    study = run.Study(here / "data" / "raw", here / "data" / "vqa", search_items, items, params.seed)
    asker = Asker(vlm, encoder, asking, params.seed)
    result, rows = run.run(asker, study, ideas, cost.macs_by_part(vlm), typer.echo)
    write_json(here / page.RESULT, {"profile": params.profile, **result})
    tables.write_csv(here / page.FIGURES, rows, run.COLUMNS)
    page.write(here)
    typer.echo(f"hallucination: {page.PAGE} says what was found; every figure is in {page.FIGURES}")
