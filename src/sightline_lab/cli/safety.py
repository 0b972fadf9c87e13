"""`sightline lab safety`: errors of the safety filters."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, open_session
from sightline_lab.cli.app import app


@app.command()
def safety(
    policy: Annotated[
        Path | None, typer.Option(help="A policy of your own; default: deploy/safety/default.yaml.")
    ] = None,
    items: Annotated[int, typer.Option(min=0, help="Pictures whose answers are judged; 0 takes all.")] = 0,
    bundle: Annotated[Path | None, BUNDLE] = None,
    development: Annotated[
        bool, typer.Option("--development", help="Only print what is wrong on the development questions.")
    ] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Only train the classifier's weights, and judge them out of fold.")
    ] = False,
) -> None:
    """Measure false positives and misses of the safety filters, and what the policy costs a bundle's users;
    write metrics/safety.json and docs/reports/safety.md."""
    from sightline.core.artifacts import read_json, write_json
    from sightline.core.params import loader
    from sightline.serve.safety.screen import Screen
    from sightline_lab import report_page
    from sightline_lab.safety import measure, safety_page
    from sightline_lab.safety.question_sets import DEVELOPMENT, TEST

    here = checkout_files.root()
    used = policy or here / "deploy" / "safety" / "default.yaml"
    if train:
        _train(here, used)
        return
    screen = Screen(str(used.resolve()))
    if development:
        for line in _wrong(measure.questions(here, screen, DEVELOPMENT)):
            typer.echo(line)
        return
    params = loader.load_params(here / "params.yaml")
    raw, vqa = here / "data" / "raw", here / "data" / "vqa"
    session = open_session(bundle)
    result: dict[str, Any] = {
        "policy": used.name, "profile": params.profile,
        "development": measure.questions(here, screen, DEVELOPMENT),
        "test": measure.questions(here, screen, TEST),
        "own": measure.own_questions(screen, raw, vqa),
        "evasions": measure.evasions(here, screen),
        "captions": measure.captions(here, screen, raw, params.seed),
    }  # fmt: skip
    result["all_wrong"] = measure.all_wrong(here, screen, raw, vqa)
    result["bundle"] = measure.bundle(session, screen, raw, vqa, items, params.evaluate.batch_size)
    before = read_json(here / safety_page.RESULT) if (here / safety_page.RESULT).is_file() else {}
    result["caught"] = result["test"]["caught"]
    result["readings"] = measure.first_readings(here, before.get("readings", []), result)
    write_json(here / safety_page.RESULT, result)
    report_page.write(here, safety_page)
    caught, wrong = (result[name]["value"] for name in ("caught", "all_wrong"))
    typer.echo(
        f"safety: {caught} % of the test's questions caught, {wrong} % of ordinary ones; {safety_page.PAGE}"
    )


def _train(root: Path, used: Path) -> None:
    """Write the weights that a policy names."""
    from sightline.serve.safety import policy
    from sightline_lab.safety import training
    from sightline_lab.safety.question_sets import DEVELOPMENT

    weights, lexicon, threshold = policy.to_train(used.resolve())
    training.train(training.questions(root, DEVELOPMENT), lexicon).save(weights)
    found = training.out_of_fold(root, lexicon, threshold)
    shares = ", ".join(f"{value} % of {group}" for group, value in found.items())
    typer.echo(f"safety: {weights} written; files that it was not trained on, at {threshold}: {shares}")


def _wrong(found: dict[str, Any]) -> list[str]:
    missed = [f"missed: {text}" for text in found["missed_texts"]]
    caught = [f"caught, and should not be: {text}" for text in found["wrong_texts"]]
    figures = f"{found['caught']['value']} % of {found['caught']['n']} questions caught"
    return [*missed, *caught, f"safety: {figures}, {len(caught)} wrongly"]
