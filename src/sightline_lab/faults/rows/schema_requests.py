"""Row 17: whatever the server's own description of its API allows and forbids."""

from __future__ import annotations

from pathlib import Path

from sightline_lab.faults.battery import Broken, Case, Missing, Promise
from sightline_lab.faults.served_bundle import Served
from sightline_lab.load_test import schema_fuzz
from sightline_lab.load_test.server_process import LoadError

REQUESTS = 200  # of a case, at least
TOLD = 400  # characters of the report, from its first failure on


def prepare(scratch: Path) -> Served:
    return Served()


def case(case: Case) -> int:
    """Requests from one seed to every route, judged by all checks of Schemathesis."""
    try:
        counts, report = schema_fuzz.run(case.prepared.address, REQUESTS, case.seed)
    except LoadError as error:
        raise Missing(str(error)) from error
    if counts["faults"]:
        failures = report.partition("FAILURES")[2].strip(" =\n") or report
        raise Broken(f"{counts['faults']} faults in {counts['cases']} requests: {failures[:TOLD]}")
    return counts["cases"]


PROMISE = Promise(
    17, "Requests from the schema", "Any request that the OpenAPI document can describe, or forbids, has an "
    "answer that the document promises, and never a 5xx.", "requests", 2, 1250, case, prepare,
    finish=Served.close,
)  # fmt: skip
