"""`sightline demo`, `estimate`, `params`, `doctor`, `tables`: the checkout and what it builds."""

import json
import operator
import shutil
import subprocess
import sys
import webbrowser
from functools import reduce
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import AS_JSON, BUILD, BUNDLE, app, say
from sightline.cli.ask import ask

DEMO = ".demo"  # the copy of the checkout that `demo` builds
FRONT_PICTURE = "item01_color.png"  # of the explained items, the one the README shows


@app.command(rich_help_panel=BUILD)
def params(
    as_json: Annotated[bool, AS_JSON] = False,
    reference: Annotated[
        bool,
        typer.Option(
            "--reference",
            help="Write docs/reference: params.md, deploy.md, safety.md, and the JSON schemas, audit's too.",
        ),
    ] = False,
    migrate: Annotated[
        Path | None, typer.Option(help="Take over the values of this params.yaml of 0.9.0.")
    ] = None,
) -> None:
    """Print every resolved parameter and where its value came from."""
    from sightline.core.params import loader, sections

    if reference or migrate:
        for line in _write_params(checkout_files.root(), migrate):
            say(f"params: {line}")
        return
    resolved = loader.load_params(checkout_files.root() / "params.yaml")
    values = resolved.model_dump(mode="json")
    if as_json:
        say(json.dumps(values, sort_keys=True))
        return
    for key in sections.leaves():
        value = reduce(operator.getitem, key.split("."), values)
        say(f"{key} = {value!r}   ({resolved.origin[key]})")
    say("try: dvc exp run -S lr=1e-4   (any of these by its name)")


def _write_params(here: Path, old: Path | None) -> list[str]:
    from sightline.audit import audit_report
    from sightline.core.params import migrate, reference
    from sightline.serve.deploy import deployment_reference
    from sightline.serve.safety import safety_reference

    if old is None:
        pages = reference, deployment_reference, safety_reference
        written = [*(path for page in pages for path in page.write(here)), *audit_report.write_schema(here)]
        return [f"wrote {path.relative_to(here)}" for path in written]
    return [*migrate.migrate(old, here), "try: sightline params, then dvc repro"]


@app.command(rich_help_panel=BUILD)
def estimate() -> None:
    """Print what a full build of the chosen profile takes, and what its data cannot teach, before it starts.

    A build that was never measured is rehearsed for about half a minute on a sample. Nothing is fetched. Exit
    code 1 where a build cannot work.
    """
    from sightline.cli.rebuild_estimate import estimate_lines
    from sightline.core.params import loader

    here = checkout_files.root()
    params = loader.load_params(here / "params.yaml")
    if params.profile in checkout_files.measured(here):
        said = checkout_files.estimate(here, params.profile)
    else:
        try:
            said = [f"estimate: {line}" for line in estimate_lines.lines(here, params)]
        except ValueError as error:
            say(f"estimate: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(1) from None
    for line in said:
        say(line)
    say("try: dvc repro")


@app.command(rich_help_panel=BUILD)
def demo() -> None:
    """Build the smoke profile in .demo/ and open a page: a question, its answer, the regions behind it."""
    from sightline.cli import verification
    from sightline.core.params import edit, params_files
    from sightline.core.params.checks import NO_INPUT

    here = checkout_files.root()
    target = here / DEMO
    for line in checkout_files.estimate(here, "smoke"):
        say(line.replace("repro:", "demo:", 1))
    checkout_files.check_copy(target)
    checkout_files.copy(here, target, "smoke")
    # Its pictures are rendered: none of one's own inputs is read.
    edit.fill(target / "params.yaml", dict.fromkeys(params_files.LOCAL, NO_INPUT))
    verification.restore_lock(target)
    done = subprocess.run(["dvc", "repro"], cwd=target)
    if done.returncode:
        raise typer.Exit(done.returncode)
    ask(bundle=target / "models" / "bundle")
    page = target / "plots" / "explain" / "index.html"
    say(
        f"demo: the page with maps is {page.relative_to(here)}; the model is tiny and often wrong: "
        "`dvc repro` builds the real one"
    )
    say(f'try: cd {DEMO}, then sightline ask, or sightline search "a red ball"')
    if sys.stdout.isatty():
        webbrowser.open(page.as_uri())


@app.command(rich_help_panel=BUILD)
def doctor(
    outputs: Annotated[
        list[str] | None,
        typer.Argument(help="What --repair mends, such as models/vlm or dvc.lock; default: all."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Restore what is damaged; keep the damaged in a quarantine.")
    ] = False,
    bundle: Annotated[Path | None, BUNDLE] = None,
    index: Annotated[Path | None, typer.Option(help="Also an index made by `sightline index`.")] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Check packages, every byte that was built and DVC's copies of it, DVC and folders. Exit code 1 when
    something is wrong, or could not be repaired."""
    from sightline.cli import diagnostics
    from sightline.core import progress

    if repair:
        _repair(outputs or [])
        return
    if outputs:
        raise typer.BadParameter(f"{outputs[0]}: outputs are named for --repair; without it all is checked")
    with progress.step("checking"):
        checks = diagnostics.examine(Path.cwd(), bundle, index)
    wrong = [check for check in checks if not check.ok]
    if as_json:
        say(json.dumps({"ok": not wrong, "checks": [vars(check) for check in checks]}))
    else:
        for check in checks:
            say(f"{'ok   ' if check.ok else 'WRONG'} {check.name}: {check.found}")
            if not check.ok:
                say(f"      cure: {check.cure}")
        say(f"doctor: {len(wrong)} of {len(checks)} checks failed" if wrong else "doctor: all is well")
    if wrong:
        raise typer.Exit(1)


def _repair(outputs: list[str]) -> None:
    """Mend what the checks of built files found, or of these; exit with 1 where a stage has to build anew."""
    from sightline.cli import verification
    from sightline.core import progress

    here = checkout_files.root()
    named = [  # a message names a folder as its reader was given it
        Path(name).relative_to(here).as_posix() if Path(name).is_relative_to(here) else name
        for name in outputs
    ]
    with progress.step("checking"):
        damaged = verification.examine(here, named)
    for damage in damaged:
        say(f"WRONG {damage.name}: {damage.found}")
    repaired = verification.repair(here, damaged)
    for line in repaired.lines:
        say(f"doctor: {line}")
    if not damaged:
        say("doctor: nothing to repair: all is as dvc.lock records it")
    if repaired.stages:
        say(f"      cure: dvc repro {' '.join(repaired.stages)}")
        raise typer.Exit(1)


@app.command(hidden=True)  # of Sightline's own README
def tables() -> None:
    """Write the measured tables into README.md and docs/reports/results.md."""
    from sightline.cli import readme_tables

    here = checkout_files.root()
    if checkout_files.is_own(here):
        raise checkout_files.CheckoutError(
            "the tables are those of Sightline's own README; the figures of this repository are in "
            "metrics/report/report.md"
        )
    for built in (here, here / DEMO):
        checkout_files.record_cost(here, built)
    readme_tables.fill(here)
    picture = here / "plots" / "explain" / "pictures" / FRONT_PICTURE
    shutil.copyfile(picture, here / "docs" / "reports" / "answer.png")
    say(f"tables: README.md and {readme_tables.RESULTS} now hold the figures of metrics/")
    say("try: git diff README.md docs")
