"""`sightline lab monitoring`: what the figures of a monitored server are worth."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, open_session
from sightline_lab.cli.app import app


@app.command()
def monitoring(
    items: Annotated[int, typer.Option(min=0, help="Pictures per split; 0 takes all.")] = 1000,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Describe pictures of `test`, as they are and made worse: do doubtful descriptions and drift follow?

    Writes metrics/monitoring.json and docs/reports/monitoring.md in a few minutes."""
    from sightline.core.artifacts import write_json
    from sightline.core.params import loader
    from sightline_lab import report_page
    from sightline_lab.monitoring import monitoring_page, monitoring_study

    here = checkout_files.root()
    params = loader.load_params(here / "params.yaml")
    study = monitoring_study.Study(
        here / "data" / "raw", here / "data" / "vqa", items, params.evaluate.bootstrap, params.seed
    )
    result = monitoring_study.run(open_session(bundle), study, typer.echo)
    write_json(here / monitoring_page.RESULT, {"profile": params.profile, **result})
    report_page.write(here, monitoring_page)
    typer.echo(f"monitoring: results in {monitoring_page.PAGE}")
