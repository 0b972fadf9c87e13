"""The page: every family with its rates, and its surest successes beside the untouched picture. One
self-contained offline HTML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import templates
from sightline.core.atomic_io import check_output, write_bytes
from sightline.data import images
from sightline.evaluate.red_team.attack_run import Attacked
from sightline.evaluate.red_team.cases import Ask, Given
from sightline.evaluate.red_team.material import Material
from sightline.evaluate.red_team.red_team_figures import Change, FamilyFigures, Rate

MARK = b"<title>Sightline: "  # how every page begins
HEAD = ["", "success, %", "95 % interval"]


def write(
    path: Path, attacked: Sequence[Attacked], material: Material, changes: Mapping[str, Change] | None = None
) -> None:
    """Write the page; `changes`: of every family against an earlier run. Raises ArtifactError where the
    user's own file is in its place."""
    check_output(path, MARK)
    text = templates.render(
        "sightline.evaluate", "red_team.html", attacked=attacked, changes=changes or {}, head=HEAD,
        split=material.split.name, rows=_rows, shot=lambda ask: _shot(material, ask),
        url=images.picture_url, small=lambda rgb: max(rgb.shape) <= images.SMALL, certainty=_certainty,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())


def _rows(figures: FamilyFigures) -> list[list[Any]]:
    rows = [["the attack", *_cells(figures.success_rate)]]
    return rows + [[f"{one.name}: {one.what}", *_cells(one.rate)] for one in figures.controls]


def _cells(rate: Rate | None) -> list[str]:
    assert rate is not None  # of a family that was tested
    return [f"{rate.value:.1f}", f"{rate.low:.1f} to {rate.high:.1f}"]


def _shot(material: Material, ask: Ask) -> np.ndarray:
    """The picture of a question as people see it."""
    rgb, zoom = material.displayed(ask.picture)
    return rgb if ask.change is None else ask.change(rgb, zoom)


def _certainty(given: Given) -> str:
    return f"{'sure' if given.sure else 'not sure'}, confidence {100 * given.confidence:.0f} %"
