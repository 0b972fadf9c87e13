"""`sightline hallucination`: which way of decoding invents least, and at what price."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline import project
from sightline.commands.app import app
from sightline.params import loader

if TYPE_CHECKING:
    from sightline.evaluate.hallucination.asking import Asker
    from sightline.evaluate.hallucination.crew import Asked


def load(who: "Asked") -> "Asker":
    """A trained model to ask, with the tokenizer that it was trained with."""
    from sightline.data.tokenizer import Tokenizer
    from sightline.evaluate.hallucination.asking import Asker
    from sightline.export import trained

    vlm = trained.load_vlm(who.model)
    session = trained.session(vlm, None, who.settings)
    session.tokenizer = Tokenizer.load(who.model / "tokenizer.json")
    return Asker(vlm, session, who.asking, who.seed)


@app.command()
def hallucination(
    items: Annotated[int, typer.Option(help="Pictures per test split; 0 takes all.")] = 0,
    search_items: Annotated[int, typer.Option(help="Pictures per validation split; 0 takes all.")] = 0,
    model: Annotated[list[Path] | None, typer.Option(help="Trained models; default: models/vlm.")] = None,
    seeds: Annotated[int, typer.Option(help="Trainings: models/vlm, and more with the next seeds.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes of one thread each.")] = 2,
) -> None:
    """Try every idea of decoding.yaml on the validation splits, then read the test splits once; write
    metrics/hallucination.json and .csv, docs/hallucination.md and its picture (with another source of data
    than scenes, its name is in theirs).

    What is said lies in .study/: an interrupted command goes on where it was.
    """
    from sightline.artifacts import write_json
    from sightline.compress import cost
    from sightline.evaluate import tables
    from sightline.evaluate.hallucination import crew, run, ways
    from sightline.evaluate.predict import Asking
    from sightline.export import trained
    from sightline.study import hallucination as page
    from sightline.study.copies import FOLDER
    from sightline.study.run import Study

    here = project.root()
    params = loader.load_params(here / "params.yaml")
    ideas = ways.read(here / "decoding.yaml")
    given = model or []
    of_seeds = range(params.seed + 1, params.seed + seeds)
    models = given or [here / "models" / "vlm"]
    if of_seeds:
        models = models + Study(here).models(of_seeds, jobs, typer.echo)
    asking = Asking(params.evaluate.max_new_tokens, run.BATCH, beams=1)
    asked = [crew.Asked(folder, here / "models" / "onnx", asking, params.seed) for folder in models]
    study = run.Study(here / "data" / "raw", here / "data" / "vqa", search_items, items, params.seed)
    found = crew.Crew(asked, load, here / FOLDER / "hallucination", jobs, typer.echo)
    macs = cost.macs_by_part(trained.load_vlm(models[0]))
    result, rows = run.run(found, study, ideas, macs, typer.echo)
    source = params.data.source
    call = {
        "options": {"items": items, "search_items": search_items, "seeds": seeds},
        "given": [folder.as_posix() for folder in given],
        "seeds": [*([] if given else [params.seed]), *of_seeds],
    }
    write_json(here / page.named(page.RESULT, source), {"profile": params.profile, "call": call, **result})
    tables.write_csv(here / page.named(page.FIGURES, source), rows, run.COLUMNS)
    page.write(here, source)
    where, figures = page.named(page.PAGE, source), page.named(page.FIGURES, source)
    typer.echo(f"hallucination: {where} says what was found; every figure is in {figures}")
