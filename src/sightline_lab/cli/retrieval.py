"""`sightline lab retrieval`: effect of captions of similar pictures on the answers."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, open_session
from sightline_lab.cli.app import app


@app.command()
def retrieval(
    items: Annotated[int, typer.Option(min=0, help="Pictures per split; 0 takes all.")] = 0,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Answer the questions of `test` with and without the captions of similar pictures; write
    metrics/retrieval_augmented.json and docs/reports/retrieval.md."""
    from sightline.core.artifacts import write_json
    from sightline.core.params import loader
    from sightline_lab import report_page
    from sightline_lab.retrieval import retrieval_augmentation, retrieval_page

    here = checkout_files.root()
    params = loader.load_params(here / "params.yaml")
    evaluate = params.evaluate
    study = retrieval_augmentation.Study(
        here / "data" / "raw",
        here / "data" / "vqa",
        items,
        params.generation.greedy(),
        evaluate.batch_size,
        evaluate.bootstrap,
        params.seed,
    )
    result = retrieval_augmentation.run(open_session(bundle), study, typer.echo)
    write_json(here / retrieval_page.RESULT, {"profile": params.profile, **result})
    report_page.write(here, retrieval_page)
    typer.echo(f"retrieval: results in {retrieval_page.PAGE}")
