"""What a build costs at sizes that nobody measured, from lines fitted to the sizes of metrics/scale.json.

A stage that handles every row costs `fixed + each * rows` core-seconds and memory, and data/raw takes as much
of the disk; both parts are at least 0. Where a stage does other work from some number of rows on (BENDS), a
line holds between two such numbers only. A stage that trains costs core-seconds for each item that passes it,
which metrics/cost.json of the default model says, and more for a larger model in proportion to its
multiply-accumulates. The fit is checked by the largest size: lines that see only sizes of at most a tenth of
it predict it, where no bend lies between.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from sightline.cli.rebuild_estimate.cost_model import EFFICIENCY
from sightline.core.params.loader import Params
from sightline.search.vector_index import FLAT_UP_TO, QUANTIZED_ABOVE

PER_ROW = ("download", "convert", "index")  # the stages whose work grows with the rows
# Rows up to which a stage follows one law. `index` also fits its confidence and its bounds on a part of val
# (fit_confidence.QUESTIONS, out_of_domain.PICTURES), which FULL rows have: a tenth of the rows is val.
FULL = 20_000
BENDS = {"index": (FULL, FLAT_UP_TO, QUANTIZED_ABOVE)}
TRAININGS = ("pretrain", "align", "finetune")
TENTH = 10  # how many times larger the size that checks the fit is, at least


@dataclass(frozen=True)
class Line:
    """`fixed + each * rows`."""

    fixed: float
    each: float

    def at(self, rows: float) -> float:
        """The value at a number of rows."""
        return self.fixed + self.each * rows


@dataclass(frozen=True)
class Site:
    """Machines that are alike: how many, cores and GiB of memory of each, Gbit/s of its link."""

    machines: int
    cores: int
    memory_gib: float
    link_gbit: float


@dataclass(frozen=True)
class Model:
    """A model to train: its multiply-accumulates over those of the default, the bytes of its weights, and the
    items that pass each training, in rows."""

    name: str
    macs: float
    weight_bytes: float
    passes: Mapping[str, float]


def fit(rows: Sequence[int], values: Sequence[float]) -> Line:
    """Least squares of the relative residuals under `fixed, each >= 0`; values are positive.

    Raises ValueError for fewer than two sizes.
    """
    if len(set(rows)) < 2:
        raise ValueError(f"a line needs two sizes or more, got {sorted(set(rows))}")
    at, seen = np.asarray(rows, float), np.asarray(values, float)
    (fixed, each), _ = nnls(np.stack([1 / seen, at / seen], axis=1), np.ones(len(seen)))
    return Line(float(fixed), float(each))


def lines(sizes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Line]]:
    """{"core_seconds", "peak_mib": by stage, "stored_mib": of data/raw}, of sizes of metrics/scale.json."""
    rows = [size["rows"] for size in sizes]
    stages = [stage for stage in sizes[0]["stages"] if all(stage in size["stages"] for size in sizes)]
    return {
        "core_seconds": {stage: _seconds(stage, sizes) for stage in PER_ROW},
        "peak_mib": {
            stage: fit(rows, [size["stages"][stage]["peak_mib"] for size in sizes]) for stage in stages
        },
        "stored_mib": {"data/raw": fit(rows, [size["raw_mib"] for size in sizes])},
    }


def _law(stage: str, rows: int) -> int:
    """Which of a stage's laws a number of rows follows."""
    return bisect_left(BENDS.get(stage, ()), rows)


def _seconds(stage: str, sizes: Sequence[Mapping[str, Any]]) -> Line:
    """Core-seconds by the law of the largest size; where no other follows it, the cost of a row there."""
    largest = max(size["rows"] for size in sizes)
    alike = [size for size in sizes if _law(stage, size["rows"]) == _law(stage, largest)]
    seconds = [size["stages"][stage]["core_seconds"] for size in alike]
    if len(alike) == 1:
        return Line(0.0, seconds[0] / largest)
    return fit([size["rows"] for size in alike], seconds)


def check(sizes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The largest size as predicted by lines through those of at most a tenth of it: a row for each quantity,
    with `error` as a share of what was measured; both are None for a stage that follows another law there.

    Raises ValueError where fewer than two such sizes were measured.
    """
    largest = max(sizes, key=lambda size: size["rows"])
    smaller = [size for size in sizes if TENTH * size["rows"] <= largest["rows"]]
    if len(smaller) < 2:
        measured = ", ".join(f"{size['rows']:,}" for size in sizes)
        raise ValueError(
            f"a prediction of {largest['rows']:,} rows needs two sizes of at most a tenth of it; measured "
            f"are {measured}: `sightline lab scale` measures three"
        )
    fitted = lines(smaller)
    rows: list[dict[str, Any]] = []
    for stage, line in fitted["core_seconds"].items():
        same = all(_law(stage, size["rows"]) == _law(stage, largest["rows"]) for size in smaller)
        predicted, seen = line.at(largest["rows"]) if same else None, largest["stages"][stage]["core_seconds"]
        rows.append({"what": stage, "unit": "core-seconds", "predicted": predicted, "measured": seen})
    told = [row for row in rows if row["predicted"] is not None]
    whole = {key: sum(row[key] for row in told) for key in ("predicted", "measured")}
    rows.append({"what": " and ".join(row["what"] for row in told), "unit": "core-seconds", **whole})
    stored = fitted["stored_mib"]["data/raw"].at(largest["rows"])
    rows.append({"what": "data/raw", "unit": "MiB", "predicted": stored, "measured": largest["raw_mib"]})
    return [
        row | {"error": None if row["predicted"] is None else row["predicted"] / row["measured"] - 1}
        for row in rows
    ]


def item_seconds(cost: Mapping[str, Any], params: Params, rows: int) -> dict[str, float]:
    """Core-seconds of an item of `rows` that passes a training of the default, its evaluations included."""
    return {
        stage: cost[stage]["core_seconds"] / (getattr(params, stage).epochs * rows) for stage in TRAININGS
    }


def plan(
    fitted: Mapping[str, Mapping[str, Line]],
    per_item: Mapping[str, float],
    model: Model,
    site: Site,
    rows: int,
    batch: int,
) -> dict[str, Any]:
    """Hours by stage, storage, network and memory of a build of `rows` pairs on a site.

    Steps exchange gradients by a ring: every machine sends and receives 2 (n - 1) / n times the weights'
    bytes a step. `batch` is of all machines together.
    """
    processes = 1 + EFFICIENCY * (site.machines * site.cores - 1)
    hours = {stage: line.at(rows) / processes / 3600 for stage, line in fitted["core_seconds"].items()}
    trained = {
        stage: passes * rows * per_item[stage] * model.macs / processes / 3600
        for stage, passes in model.passes.items()
    }
    steps = sum(passes for passes in model.passes.values()) * rows / batch
    sent = 2 * (site.machines - 1) / site.machines * model.weight_bytes * steps  # bytes of a machine
    stored = fitted["stored_mib"]["data/raw"].at(rows) * 2**20
    read = stored * sum(model.passes.values())  # of all machines, from where the shards lie
    network = (sent + (read / site.machines if site.machines > 1 else 0.0)) / (site.link_gbit * 1.25e8) / 3600
    memory = {stage: line.at(rows) / 1024 for stage, line in fitted["peak_mib"].items()}
    needs = max(memory, key=lambda stage: memory[stage])
    return {
        "rows": rows,
        "machines": site.machines,
        "hours": hours | trained,
        "total_hours": sum(hours.values()) + sum(trained.values()),
        "stored_gib": stored / 2**30,
        "sent_gib": sent / 2**30,
        "network_hours": network,
        "memory_stage": needs,
        "memory_gib": memory[needs],
        "first": _first(sum(hours.values()) + sum(trained.values()), network, memory[needs], needs, site),
    }


def _first(hours: float, network: float, memory: float, stage: str, site: Site) -> str:
    """What breaks first: memory of a process, then the link, else the processors' time."""
    if memory > site.memory_gib:
        return f"memory of {stage}: {memory:,.0f} GiB of {site.memory_gib:,.0f}"
    if network > hours:
        return f"the link: {network:,.1f} h of transfers, {hours:,.1f} h of work"
    return f"processors: {hours:,.1f} h"
