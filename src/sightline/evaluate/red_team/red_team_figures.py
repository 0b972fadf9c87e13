"""red_team.json: what every family of attacks came to; and the figures of two models compared.

C pictures, R resamples.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from sightline.core import artifacts, typed_json
from sightline.core.params.checks import Count, CountOrNone, Percent
from sightline.core.runtime import derive_seed
from sightline.evaluate.bootstrap import difference, resamples, sample
from sightline.evaluate.metrics.ratios import Counts, share
from sightline.evaluate.scoring import rounded

if TYPE_CHECKING:
    from sightline.evaluate.red_team.material import Material

FOLDER, FILE = Path("metrics/red_team"), "red_team.json"
CURE = "attack the model again: `dvc repro red_team`, or `sightline red-team`"
OTHERWISE = "they were attacked with other settings of red_team, or on another split"
NO_PICTURE = "they were attacked on other pictures"


class Rate(typed_json.Described):
    """Percent, with its 95 % interval."""

    value: Percent
    low: Percent
    high: Percent


class Control(typed_json.Described):
    """How often the control is what a success would be; `what`: what is asked."""

    name: str
    what: str
    rate: Rate


class PerPicture(typed_json.Described):
    """Cases of each picture, which is known by a hash of its bytes."""

    pictures: list[str]
    tried: list[Count]
    succeeded: list[CountOrNone]


class FamilyFigures(typed_json.Described):
    """`not_tested` says why there are no figures; else `n` cases about `pictures`."""

    attack: str
    success: str
    not_tested: str = ""
    n: CountOrNone = 0
    pictures: CountOrNone = 0
    success_rate: Rate | None = None
    controls: list[Control] = Field(default_factory=list)
    per_picture: PerPicture | None = None


class RedTeamFigures(typed_json.Described):
    """The file. `settings`: params `red_team`, by which two are comparable; `bundle`: the attacked one."""

    version: Literal[1]
    split: str
    bundle: str
    settings: dict[str, int]
    families: dict[str, FamilyFigures]

    def summary(self) -> dict[str, dict[str, Any]]:
        """The rates alone: what metrics/summary.json holds."""
        return {name: _short(figures) for name, figures in self.families.items()}


def _short(figures: FamilyFigures) -> dict[str, Any]:
    if figures.success_rate is None:
        return {"not_tested": figures.not_tested}
    controls = {control.name: control.rate.value for control in figures.controls}
    return {**figures.success_rate.model_dump(), "n": figures.n, "pictures": figures.pictures,
            "controls": controls}  # fmt: skip


def write(folder: Path, figures: RedTeamFigures) -> None:
    artifacts.write_json(folder / FILE, figures.model_dump(mode="json", exclude_defaults=True))


def read(path: Path) -> RedTeamFigures:
    """Raises ValueError for a damaged file, and for one of another version."""
    return typed_json.read(path, RedTeamFigures, CURE)


def lines(figures: RedTeamFigures, changes: Mapping[str, "Change"] | None = None) -> dict[str, str]:
    """A line for every family: how often it succeeds, its controls, and what changed."""
    return {name: _line(one, (changes or {}).get(name)) for name, one in figures.families.items()}


def _line(figures: FamilyFigures, change: "Change | None") -> str:
    rate = figures.success_rate
    if rate is None:
        return f"not tested: {figures.not_tested}"
    controls = ", ".join(f"{control.name} {control.rate.value:.1f} %" for control in figures.controls)
    said = f"{rate.value:.1f} % [{rate.low:.1f}, {rate.high:.1f}] of {figures.n} succeed ({controls})"
    if change is None:
        return said
    if change.note:
        return f"{said}; not compared: {change.note}"
    return f"{said}; {change.value:+.1f} [{change.low:.1f}, {change.high:.1f}] points since"


def picture_hash(material: "Material", picture: int) -> str:
    return hashlib.sha256(material.items.image_bytes(material.item(picture))).hexdigest()[:32]


def success(counts: Counts) -> np.ndarray:
    """Percent of the cases that succeeded."""
    return share(counts["succeeded"], counts["tried"])


class Change(typed_json.Described):
    """How much more often a family succeeds than before, in points, on `pictures` that both were attacked on;
    `note` says why that is unknown."""

    value: float = 0.0
    low: float = 0.0
    high: float = 0.0
    pictures: CountOrNone = 0
    note: str = ""


def compare(after: RedTeamFigures, before: RedTeamFigures, resamplings: int, seed: int) -> dict[str, Change]:
    """Of every family of `after`. Pictures are resampled, the same ones for both."""
    alike = (after.split, after.settings) == (before.split, before.settings)
    return {
        name: _change(name, figures, before.families.get(name), resamplings, seed) if alike
        else Change(note=OTHERWISE)
        for name, figures in after.families.items()
    }  # fmt: skip


def _change(
    name: str, after: FamilyFigures, before: FamilyFigures | None, resamplings: int, seed: int
) -> Change:
    if after.per_picture is None:
        return Change(note=after.not_tested)
    if before is None or before.per_picture is None:
        return Change(note=before.not_tested if before else "the earlier one was not attacked by it")
    counted = _by_picture(after.per_picture), _by_picture(before.per_picture)
    common = [picture for picture in counted[0] if picture in counted[1]]
    if not common:
        return Change(note=NO_PICTURE)
    rng = np.random.default_rng(derive_seed(seed, "red_team", name, "change"))
    weights_RC = resamples(len(common), resamplings, rng)
    later, earlier = (
        sample(_columns([of_side[picture] for picture in common]), weights_RC) for of_side in counted
    )
    found = difference(success, later, earlier, higher_is_better=False)
    return Change(
        value=rounded(found.value), low=rounded(found.low), high=rounded(found.high), pictures=len(common)
    )


def _by_picture(counts: PerPicture) -> Mapping[str, tuple[int, int]]:
    return {
        picture: (tried, succeeded)
        for picture, tried, succeeded in zip(counts.pictures, counts.tried, counts.succeeded, strict=True)
    }


def _columns(rows: Sequence[tuple[int, int]]) -> Counts:
    table_C2 = np.array(rows, np.float64)
    return {"tried": table_C2[:, 0], "succeeded": table_C2[:, 1]}
