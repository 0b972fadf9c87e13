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

IDEAS = Path("decoding.yaml")


def load(who: "Asked") -> "Asker":
    """A trained model to ask, with the tokenizer that it was trained with."""
    from sightline.data.tokenizer import Tokenizer
    from sightline.evaluate.hallucination.asking import Asker
    from sightline.export import trained

    vlm = trained.load_vlm(who.model)
    guide = None if who.guide is None else trained.load_clip(who.guide)
    session = trained.session(vlm, guide, who.settings)
    session.tokenizer = Tokenizer.load(who.model / "tokenizer.json")
    return Asker(vlm, session, who.asking, who.seed)


@app.command()
def hallucination(
    items: Annotated[int, typer.Option(help="Pictures per test split; 0 takes all.")] = 0,
    search_items: Annotated[int, typer.Option(help="Pictures per validation split; 0 takes all.")] = 0,
    model: Annotated[list[Path] | None, typer.Option(help="Trained models; default: models/vlm.")] = None,
    seeds: Annotated[int, typer.Option(help="Trainings: models/vlm, and more with the next seeds.")] = 1,
    ideas: Annotated[Path, typer.Option(help="What is tried; also: training.yaml, guided.yaml.")] = IDEAS,
    jobs: Annotated[int, typer.Option(help="Processes of one thread each.")] = 2,
) -> None:
    """Try every idea of decoding.yaml on the validation splits, then read the test splits once; write
    metrics/hallucination.json and .csv, docs/hallucination.md and its picture (another file of ideas, or
    another source of data than scenes, has its name in theirs). An idea may name an arm of ablations.yaml:
    its models are trained first, at the compute of the default. Candidates are compared with the picture by
    the dual encoder beside the answering model (models/clip).

    What is said lies in .study/: an interrupted command goes on where it was.
    """
    from sightline.artifacts import write_json
    from sightline.compress import cost
    from sightline.evaluate import tables
    from sightline.evaluate.hallucination import crew, run, ways
    from sightline.evaluate.predict import Asking
    from sightline.export import trained
    from sightline.study import hallucination as page
    from sightline.study.arms import DEFAULT
    from sightline.study.copies import FOLDER
    from sightline.study.run import Study

    here = project.root()
    params = loader.load_params(here / "params.yaml")
    tried = ways.read(here / ideas)
    arms = [arm for arm in dict.fromkeys(way.arm for idea in tried for way in idea.ways) if arm != DEFAULT]
    given = model or []
    if given and arms:
        raise ways.WaysError(
            f"{ideas}: trains {', '.join(arms)}, to hold against models/vlm; it cannot be asked of --model"
        )
    trainings = list(range(params.seed + bool(given), params.seed + seeds))
    if arms or trainings not in ([], [params.seed]):
        models = Study(here).models(arms, trainings, jobs, typer.echo)
    else:
        models = {DEFAULT: [here / "models" / "vlm" for _ in trainings]}
    models[DEFAULT] = [*given, *models[DEFAULT]]
    asking = Asking(params.evaluate.max_new_tokens, run.BATCH, beams=1)
    guided = any(way.candidates > 1 for idea in tried for way in idea.ways)
    asked = {
        arm: [
            crew.Asked(
                folder, here / "models" / "onnx", asking, params.seed, _guide(folder) if guided else None
            )
            for folder in folders
        ]
        for arm, folders in models.items()
    }
    study = run.Study(here / "data" / "raw", here / "data" / "vqa", search_items, items, params.seed)
    found = crew.Crew(asked, load, here / FOLDER / "hallucination", jobs, typer.echo)
    macs = {arm: cost.macs_by_part(trained.load_vlm(folders[0])) for arm, folders in models.items()}
    for arm, (first, *_) in asked.items():
        if first.guide is not None:
            macs[arm] |= cost.macs_of_embeddings(trained.load_clip(first.guide))
    result, rows = run.run(found, study, tried, macs, typer.echo)
    call = {
        "ideas": ideas.as_posix(),
        "options": {"items": items, "search_items": search_items, "seeds": seeds},
        "given": [folder.as_posix() for folder in given],
        "seeds": trainings,
    }
    about = page.About(ideas.stem, params.data.source)
    write_json(here / about.named(page.RESULT), {"profile": params.profile, "call": call, **result})
    tables.write_csv(here / about.named(page.FIGURES), rows, run.COLUMNS)
    page.write(here, about)
    where, figures = about.named(page.PAGE), about.named(page.FIGURES)
    typer.echo(f"hallucination: {where} says what was found; every figure is in {figures}")


def _guide(model: Path) -> Path:
    """The dual encoder that was trained with an answering model: beside it."""
    from sightline.evaluate.hallucination.ways import WaysError

    found = model.with_name("clip")
    if not found.is_dir():
        raise WaysError(f"{found}: no dual encoder beside {model}, which is to choose among its candidates")
    return found
