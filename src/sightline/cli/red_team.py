"""`sightline red-team`: attacks on a model, each with a control. Runs without torch."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, TRUST, app, bundle_folder, say

FIGURES_MARK = b'"bundle": '  # how red_team.json begins


@app.command(rich_help_panel=TRUST)
def red_team(
    family: Annotated[
        list[str] | None,
        typer.Option(help="A file of src/sightline/evaluate/red_team/families; several; default: all."),
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=1, help="Attacks of a family; default: param `red_team.items`.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="An earlier red_team.json: the page shows what changed since.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", help="Folder for red_team.json and index.html.")] = Path(
        "red-team"
    ),
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Attack the model on the test split, and measure how often each family of attacks succeeds.

    Exits with 1 where a family succeeds more often than `gate.max_attack_success` allows.
    """
    from sightline.core import artifacts
    from sightline.core.atomic_io import check_output
    from sightline.core.params import loader
    from sightline.evaluate import quality_gate
    from sightline.evaluate.red_team import attack_run, red_team_figures, red_team_page
    from sightline.evaluate.red_team.attacked_model import AttackedModel
    from sightline.evaluate.red_team.material import Material

    here, folder = checkout_files.root(), bundle_folder(bundle)
    params = loader.load_params(here / "params.yaml")
    page, path = out / "index.html", out / red_team_figures.FILE
    check_output(page, red_team_page.MARK)
    check_output(path, FIGURES_MARK)
    earlier = red_team_figures.read(against) if against else None
    effort = params.red_team.replaced(items=items or params.red_team.items)
    model = AttackedModel.load(folder, params.threads)
    raw, vqa = (artifacts.load(here / "data" / kind, kind).path for kind in ("raw", "vqa"))
    limit, resamplings = params.evaluate.max_items, params.evaluate.bootstrap
    material = Material.read(raw, vqa, params.evaluate.splits[0], limit, model.language)
    attacked = attack_run.run(model, material, effort, resamplings, family or attack_run.names())
    figures = attack_run.figures(model, material, effort, attacked)
    changes = red_team_figures.compare(figures, earlier, resamplings, effort.seed) if earlier else None
    out.mkdir(parents=True, exist_ok=True)
    red_team_figures.write(out, figures)
    red_team_page.write(page, attacked, material, changes)
    limits = {
        name: limit for name, limit in params.gate.max_attack_success.items() if name in figures.families
    }
    checks = quality_gate.attack_checks(figures.summary(), limits, "")
    verdicts = dict(zip(sorted(limits), map(_verdict, checks), strict=True))
    for name, line in red_team_figures.lines(figures, changes).items():
        unbounded = "" if figures.families[name].not_tested else "; no bound"
        say(f"red-team: {name}: {line}{verdicts.get(name, unbounded)}")
    say(f"red-team: wrote {path} and {page}; open it in a browser, it needs no network")
    if not quality_gate.passed(checks):
        raise typer.Exit(1)


def _verdict(check) -> str:
    """Of a family that has a bound."""
    if check.note:
        return ""
    if check.passed is None:
        return f"; too few pictures for its bound of {check.limit:g} %, which needs {check.needed}"
    return f"; {'within' if check.passed else 'WORSE than'} its bound of {check.limit:g} %"
