"""`sightline lab study`, `experiments`: the contribution of each part, the table of a parameter search."""

from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app


@app.command()
def study(
    scale: Annotated[float, typer.Option(help="Share of fine-tuning epochs that the default gets.")] = 1.0,
    seeds: Annotated[int, typer.Option(help="How many, from the seed of params.yaml on.")] = 3,
    arms: Annotated[str, typer.Option(help="Names from lab/ablations.yaml, with commas; default: all.")] = "",
    jobs: Annotated[int, typer.Option(help="Arms at once, a core each.")] = 2,
) -> None:
    """Train every arm of lab/ablations.yaml at equal compute; write metrics/ablations.json and
    docs/reports/ablations.md.

    An interrupted study resumes.
    """
    from sightline_lab.ablations import ablation_page, run_ablations

    here = checkout_files.root()
    runner = run_ablations.Study(here)
    names = [name.strip() for name in arms.split(",") if name.strip()] or list(runner.arms)
    first = runner.params.seed
    runner.run(names, list(range(first, first + seeds)), scale, jobs, typer.echo)
    ablation_page.write(here, run_ablations.RESULT)
    typer.echo("study: docs/reports/ablations.md and metrics/ablations.json hold every finished arm")


@app.command()
def experiments() -> None:
    """Write the finished experiments on top of this commit, best first, to docs/reports/search.*."""
    from sightline_lab.experiments import experiment_page, experiment_table

    here = checkout_files.root()
    search = experiment_table.read(experiment_table.show(here))
    experiment_page.write(here, search)
    best = search.runs[0]
    best_params = ", ".join(f"{name}={best[name]}" for name in search.params)
    best_run = f"the best is {best['experiment']}: {best_params}"
    typer.echo(f"experiments: {len(search.runs)} in docs/reports/search.md; {best_run}")
