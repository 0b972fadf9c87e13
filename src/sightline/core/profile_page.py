"""What a profile shows: profile.json, a page that needs no network, and the trace beside them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sightline.core import templates, trace_events
from sightline.core.atomic_io import write_bytes
from sightline.core.trace_events import Event

FIGURES, PAGE = "profile.json", "index.html"
SHOWN = 25  # operators on the page; profile.json has them all


@dataclass(frozen=True)
class Row:
    """A part of the time: `ms` without what other rows of its table count; `share` of the whole."""

    name: str
    calls: int
    ms: float
    share: float


@dataclass(frozen=True)
class Table:
    """More of a profile: the first column is words, the others are figures."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: list[tuple[str | float | int | None, ...]]


@dataclass(frozen=True)
class Profile:
    """`what` was profiled, `ms` in all, on the threads that were measured. Rows of `phases` add up to that,
    and those of `operators`. memory: MiB, None where there is none of it. notes: what to know when
    reading."""

    what: str
    ms: float
    phases: list[Row]
    operators: list[Row]
    memory: dict[str, float | None]
    machine: dict[str, str]
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rows(whole_ms: float, totals: Sequence[tuple[str, int, float]]) -> list[Row]:
    """The rows of (name, calls, microseconds), the largest first as they come."""
    return [
        Row(name, calls, us / 1e3, us / 1e3 / whole_ms if whole_ms else 0.0) for name, calls, us in totals
    ]


def write(folder: Path, profile: Profile, events: Sequence[Event]) -> Path:
    """Write page, figures and trace into `folder`; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    trace_events.write(folder, events)
    text = json.dumps(_rounded(asdict(profile)), indent=1, ensure_ascii=False) + "\n"
    write_bytes(folder / FIGURES, text.encode())
    page = templates.render(
        "sightline.core", "profile.html", profile=profile, shown=SHOWN, trace=trace_events.FILE,
        figures=FIGURES,
    )  # fmt: skip
    write_bytes(folder / PAGE, page.encode())
    return folder / PAGE


def _rounded(value: object) -> object:
    """Numbers with four decimals, everywhere in it."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
