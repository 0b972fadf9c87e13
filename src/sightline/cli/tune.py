"""`sightline tune`: a search for parameters on val."""

import re
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUILD, app, say

OPTUNA = "optuna>=5,<6"  # as in requirements-tune.in, the extra `tune`
SPACE = typer.Option(
    "-S", "--set-param", metavar="NAME=VALUES", show_default=False,
    help="What is tried: LOW..HIGH, LOW..HIGH:STEP, log:LOW..HIGH or VALUE,VALUE; one VALUE is set in all.",
)  # fmt: skip
OBJECTIVE = typer.Option(
    metavar="STAGE.FIGURE", help="A figure of val in the curves of pretrain, align or finetune."
)


@app.command(rich_help_panel=BUILD)
def tune(
    space: Annotated[list[str], SPACE],
    trials: Annotated[int, typer.Option(min=1, help="In all, with those of an earlier run.")] = 20,
    objective: Annotated[str, OBJECTIVE] = "finetune.val_accuracy",
    jobs: Annotated[int, typer.Option(min=1, help="Experiments at a time.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of what is tried.")] = 7,
    prune: Annotated[bool, typer.Option(help="End experiments that fall behind in their curves.")] = True,
    name: Annotated[
        str, typer.Option(help="Of the search; its experiments are NAME-0, NAME-1, ...")
    ] = "tune",
) -> None:
    """Search for parameters: Optuna chooses them, every trial is a DVC experiment up to the figure's stage.

    Stop it at any time: the same command goes on. Nothing is looked at but val.
    """
    from sightline.cli.tuning import experiment_queue, search_space, val_figures

    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
        raise typer.BadParameter(f"{name!r}: --name takes letters, digits, - and _")
    here = checkout_files.root()
    figure = val_figures.parse(objective)
    parts = search_space.parse(space, here / "params.yaml")
    commit = experiment_queue.head(here)
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError:
        raise checkout_files.CheckoutError(
            f"a search needs Optuna, which is not installed: pip install '{OPTUNA}' (the extra `tune`)"
        ) from None
    from sightline.cli.tuning import trials as trial_store
    from sightline.cli.tuning.tuning_loop import Tuning

    definition = {"-S": sorted(space), "--objective": objective, "--seed": seed, "commit": commit}
    with trial_store.opened(here, name, parts, seed, definition) as opened:
        search = Tuning(here, commit, parts, figure, opened, jobs, prune, lambda text: say(f"tune: {text}"))
        try:
            search.run(trials)
        except KeyboardInterrupt:
            say("tune: stopped; experiments under way go on, and the same command takes them up", err=True)
            say("tune: `dvc queue stop --kill` ends them", err=True)
            raise typer.Exit(130) from None
        for line in _summary(here, opened, figure):
            say(f"tune: {line}")
        best = opened.best()
        if best is None:
            raise typer.Exit(1)
        say(f"try: dvc exp apply {opened.experiment(best)}, then dvc repro")


def _summary(here: Path, trials, figure) -> list[str]:
    from sightline.cli.tuning import tuning_page

    tuning_page.write(here, trials, figure)
    states = [trial.state for trial in trials.all()]
    counts = {word: states.count(state) for state, word in tuning_page.WORDS.items()}
    lines = [
        f"{len(states)} trials: {', '.join(f'{count} {word}' for word, count in counts.items() if count)}"
    ]
    if best := trials.best():
        shown = f"{figure} {best.value:.2f} of {trials.experiment(best)}: {tuning_page.values(best)}"
        lines.append(f"the best: {shown}")
    lines.append(f"every trial: {tuning_page.FOLDER}/{trials.name}.md and .png")
    return lines
