"""A promise, tried case by case. Every case is a pure function of a seed, so it can be run again alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import artifacts, source_digest
from sightline.core.runtime import derive_seed

SAVE_EVERY_S = 5.0
CONFIDENCE = 0.95
KEPT = 50  # failures that are kept with their reasons; all are counted
Echo = Callable[[str], None]


class Broken(Exception):
    """The promise did not hold in a case; the message says what happened instead."""


@dataclass(frozen=True)
class Case:
    """scratch: an empty folder; prepared: what the promise's `prepare` returned."""

    index: int
    seed: int
    scratch: Path
    prepared: Any = None

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


class Missing(Exception):
    """A promise cannot be tried here; the message says what is missing."""


def nothing(prepared: Any) -> None:
    """The `prepare` and the `finish` of a promise that needs nothing."""


@dataclass(frozen=True)
class Promise:
    """A row of the table of promises. holds: what must hold, a sentence; unit: what is counted; gate, full:
    cases of the short and of the long battery.

    case: tries one and returns how many units that were; raises Broken. prepare: makes in a folder what all
    cases share; limit: where there is only a certain number of cases, that number, from what was prepared;
    finish: ends what `prepare` began.
    """

    row: int
    title: str
    holds: str
    unit: str
    gate: int
    full: int
    case: Callable[[Case], int]
    prepare: Callable[[Path], Any] = nothing
    limit: Callable[[Any], int] | None = None
    finish: Callable[[Any], None] = nothing


@dataclass
class Outcome:
    """cases: tried so far; tried: units; failed: of the cases; kept: the first failures; more: all there are
    were tried."""

    cases: int = 0
    tried: int = 0
    failed: int = 0
    kept: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    all: bool = False

    def bound(self) -> float:
        """Percent: the largest rate of failures that the outcome leaves likely (one-sided, Clopper and
        Pearson 1934; without a failure nearly 3 / tried); 0 where every case there is held."""
        from scipy.stats import beta

        if self.all and not self.failed:
            return 0.0
        units = max(self.tried, 1)
        return 100.0 * float(beta.ppf(CONFIDENCE, self.failed + 1, max(units - self.failed, 1e-9)))


def seed_of(seed: int, row: int, index: int) -> int:
    return derive_seed(seed, "faults", row, index)


@contextmanager
def ready(promise: Promise) -> Iterator[Any]:
    """What all cases of a promise share, for the length of a block."""
    with tempfile.TemporaryDirectory() as shared:
        prepared = promise.prepare(Path(shared))
        try:
            yield prepared
        finally:
            promise.finish(prepared)


def run(promise: Promise, cases: int, seed: int, home: Path, echo: Echo) -> Outcome:
    """Try the first `cases` cases. A run that was interrupted goes on, unless the code changed meanwhile."""
    state, outcome = home / f"row-{promise.row:02d}.json", Outcome()
    code = [source_digest.folder_digest(folder) for folder in (source_digest.PACKAGE, Path(__file__).parent)]
    facts = {"seed": seed, "code": code}
    if state.is_file() and (known := artifacts.read_json(state))["facts"] == facts:
        outcome = Outcome(**known["outcome"])
    home.mkdir(parents=True, exist_ok=True)
    with ready(promise) as prepared:
        there_are = promise.limit(prepared) if promise.limit else None
        wanted = cases if there_are is None else min(cases, there_are)
        began = saved = time.monotonic()
        before = outcome.seconds
        while outcome.cases < wanted:
            index = outcome.cases
            try:
                outcome.tried += attempt(promise, seed, index, prepared)
            except Broken as broken:
                outcome.tried += 1
                outcome.failed += 1
                echo(f"row {promise.row}, case {index}: {broken}")
                if len(outcome.kept) < KEPT:
                    outcome.kept.append({"case": index, "why": str(broken)[:500]})
            outcome.cases += 1
            now = time.monotonic()
            outcome.seconds = round(before + now - began, 1)
            if now - saved > SAVE_EVERY_S or outcome.cases == wanted:
                saved = now
                artifacts.write_json(state, {"facts": facts, "outcome": vars(outcome)})
        outcome.all = there_are is not None and outcome.cases >= there_are
    return outcome


def replay(promise: Promise, seed: int, index: int) -> int:
    """One case alone, whatever was tried before: how many things it tried. Raises Broken."""
    with ready(promise) as prepared:
        return attempt(promise, seed, index, prepared)


def attempt(promise: Promise, seed: int, index: int, prepared: Any) -> int:
    """One case. What the product raises beyond what it documents breaks a promise as well."""
    with tempfile.TemporaryDirectory() as scratch:
        case = Case(index, seed_of(seed, promise.row, index), Path(scratch), prepared)
        try:
            return promise.case(case)
        except (Broken, Missing):
            raise
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
