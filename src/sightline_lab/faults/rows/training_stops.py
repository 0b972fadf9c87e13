"""Row 11: a training is asked to stop, as by Ctrl-C or before a machine is taken away."""

from __future__ import annotations

import signal

from sightline_lab.faults import toy_training
from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.rows.training_kills import killed, prepare, require_same

STOPS = 4
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def case(case: Case) -> int:
    """STOPS stops by one of the two signals, then the run that may finish."""
    number = list(CODES)[case.index % len(CODES)]
    ends = killed(case.scratch, STOPS, number, case.seed % 2**31)
    stopped = [end for end in ends if end["code"]]
    for end in stopped:
        if end["code"] != CODES[number]:
            raise Broken(f"{number.name}: ended with {end['code']}, expected {CODES[number]}")
        if end["saved"] <= end["step"]:
            raise Broken(f"{number.name} in step {end['step']}: {end['saved']} steps are saved")
    require_same(
        toy_training.files(case.scratch / "out"),
        case.prepared,
        f"after {len(stopped)} stops by {number.name}",
    )
    return len(stopped)


PROMISE = Promise(
    11, "Stops of a training", "SIGTERM and SIGINT lose no step: the one at work is finished and saved, the "
    "exit code is 143 or 130, and the same command ends with the same bytes.", "stops", 6, 125, case, prepare,
)  # fmt: skip
