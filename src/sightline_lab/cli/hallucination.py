"""`sightline lab hallucination`: hallucination rate and cost of decoding methods."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app

if TYPE_CHECKING:
    from sightline_lab.hallucination.decode_runner import DecodeRunner
    from sightline_lab.hallucination.parallel_runner import ModelSpec

IDEAS = Path("lab/hallucination_decoding.yaml")


def load(spec: "ModelSpec") -> "DecodeRunner":
    """The decode runner of a trained model, with that model's tokenizer."""
    from sightline.data.tokenizer import Tokenizer
    from sightline.inference import torch_session
    from sightline_lab.hallucination.decode_runner import DecodeRunner

    vlm = torch_session.load_vlm(spec.model)
    guide = None if spec.guide is None else torch_session.load_clip(spec.guide)
    session = torch_session.session(vlm, guide, spec.settings)
    session.tokenizer = Tokenizer.load(spec.model / "tokenizer.json")
    return DecodeRunner(vlm, session, spec.decode, spec.seed)


@app.command()
def hallucination(
    items: Annotated[int, typer.Option(help="Pictures per test split; 0 takes all.")] = 0,
    search_items: Annotated[int, typer.Option(help="Pictures per validation split; 0 takes all.")] = 0,
    model: Annotated[list[Path] | None, typer.Option(help="Trained models; default: models/vlm.")] = None,
    seeds: Annotated[int, typer.Option(help="Trainings: models/vlm, and more with the next seeds.")] = 1,
    ideas: Annotated[Path, typer.Option(help="What is tried; also: lab/hallucination_photos.yaml.")] = IDEAS,
    jobs: Annotated[int, typer.Option(help="Processes of one thread each.")] = 2,
) -> None:
    """Try every idea of lab/hallucination_decoding.yaml on the validation splits, then read the test splits
    once; write metrics/hallucination.json and .csv, docs/reports/hallucination.md and its picture (another
    file of ideas, or another source of data than scenes, has its name in theirs). An idea may name an arm of
    lab/ablations.yaml: its models are trained first, at the compute of the default. Candidates are compared
    with the picture by the dual encoder beside the answering model (models/clip).

    Answers are kept in .study/: an interrupted command resumes.
    """
    from sightline.compress import model_cost
    from sightline.core.artifacts import write_json
    from sightline.core.params import loader
    from sightline.evaluate import result_files
    from sightline.inference import torch_session
    from sightline_lab.ablations.arms import DEFAULT
    from sightline_lab.ablations.run_ablations import Study
    from sightline_lab.ablations.workspaces import FOLDER
    from sightline_lab.hallucination import decoding_configs, hallucination_study, parallel_runner
    from sightline_lab.hallucination import hallucination_page as page
    from sightline_lab.hallucination.decode_runner import DecodeSettings

    here = checkout_files.root()
    params = loader.load_params(here / "params.yaml")
    tried = decoding_configs.read(here / ideas)
    arms = [
        arm
        for arm in dict.fromkeys(config.arm for idea in tried for config in idea.configs)
        if arm != DEFAULT
    ]
    extra_models = model or []
    if extra_models and arms:
        raise decoding_configs.DecodingConfigError(
            f"{ideas}: trains {', '.join(arms)}, compared with models/vlm; leave out --model for it"
        )
    trainings = list(range(params.seed + bool(extra_models), params.seed + seeds))
    if arms or trainings not in ([], [params.seed]):
        models = Study(here).models(arms, trainings, jobs, typer.echo)
    else:
        models = {DEFAULT: [here / "models" / "vlm" for _ in trainings]}
    models[DEFAULT] = [*extra_models, *models[DEFAULT]]
    decode = DecodeSettings(params.generation.max_tokens, hallucination_study.BATCH)
    guided = any(config.candidates > 1 for idea in tried for config in idea.configs)
    specs = {
        arm: [
            parallel_runner.ModelSpec(
                folder, here / "models" / "onnx", decode, params.seed, _guide(folder) if guided else None
            )
            for folder in folders
        ]
        for arm, folders in models.items()
    }
    study = hallucination_study.Study(
        here / "data" / "raw", here / "data" / "vqa", search_items, items, params.seed
    )
    runner = parallel_runner.ParallelRunner(specs, load, here / FOLDER / "hallucination", jobs, typer.echo)
    macs = {
        arm: model_cost.macs_by_part(torch_session.load_vlm(folders[0])) for arm, folders in models.items()
    }
    for arm, (first, *_) in specs.items():
        if first.guide is not None:
            macs[arm] |= model_cost.macs_of_embeddings(torch_session.load_clip(first.guide))
    result, rows = hallucination_study.run(runner, study, tried, macs, typer.echo)
    call = {
        "ideas": ideas.as_posix(),
        "options": {"items": items, "search_items": search_items, "seeds": seeds},
        "given": [folder.as_posix() for folder in extra_models],
        "seeds": trainings,
    }
    about = page.About(ideas, params.data.source)
    write_json(here / about.named(page.RESULT), {"profile": params.profile, "call": call, **result})
    result_files.write_csv(here / about.named(page.FIGURES), rows, hallucination_study.COLUMNS)
    page.write(here, about)
    where, figures = about.named(page.PAGE), about.named(page.FIGURES)
    typer.echo(f"hallucination: results in {where}; every figure is in {figures}")


def _guide(model: Path) -> Path:
    """The dual encoder that was trained with an answering model: beside it."""
    from sightline_lab.hallucination.decoding_configs import DecodingConfigError

    folder = model.with_name("clip")
    if not folder.is_dir():
        raise DecodingConfigError(
            f"{folder}: no dual encoder beside {model}, which has to choose among its candidates"
        )
    return folder
