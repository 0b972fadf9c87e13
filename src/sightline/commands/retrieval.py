"""`sightline retrieval`: what captions of similar pictures change in the answers."""

from pathlib import Path
from typing import Annotated

import typer

from sightline import project
from sightline.commands.app import BUNDLE, app, open_session
from sightline.params import loader


@app.command()
def retrieval(
    items: Annotated[int, typer.Option(min=0, help="Pictures per split; 0 takes all.")] = 0,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Answer the questions of `test` with and without the captions of similar pictures; write
    metrics/retrieval_augmented.json and docs/retrieval.md."""
    from sightline.artifacts import write_json
    from sightline.evaluate.predict import Asking
    from sightline.study import augmented, augmented_page

    here = project.root()
    params = loader.load_params(here / "params.yaml")
    own = params.evaluate
    asking = Asking(own.max_new_tokens, own.batch_size, beams=1)
    study = augmented.Study(
        here / "data" / "raw", here / "data" / "vqa", items, asking, own.bootstrap, params.seed
    )
    result = augmented.run(open_session(bundle), study, typer.echo)
    write_json(here / augmented_page.RESULT, {"profile": params.profile, **result})
    augmented_page.write(here)
    typer.echo(f"retrieval: {augmented_page.PAGE} says what was found")
