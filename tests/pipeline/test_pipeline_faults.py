"""The built pipeline is killed, and its disk is full: two rows of `sightline lab faults`."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from sightline.core import dvc_lock
from sightline_lab.faults import battery, built_pipeline
from sightline_lab.faults.promises import PROMISES
from sightline_lab.faults.rows import pipeline_kills

ROOT = Path(__file__).resolve().parents[2]
FROM_REPORT = 1  # the number of a case that is soon done


@pytest.fixture
def built(smoke, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(built_pipeline, "DEMO", smoke.path)
    monkeypatch.setattr(pipeline_kills, "ORPHANS_S", 60.0)  # tests beside it share the cores


def test_every_stage_keeps_the_lock_that_it_found(smoke):
    """The last stage found the records of all others, but those of its own."""
    stages = dvc_lock.stages((smoke.path / "dvc.lock").read_bytes())
    assert dvc_lock.stages((smoke.path / dvc_lock.COPY).read_bytes()) == {
        name: stage for name, stage in stages.items() if name != "gate"
    }


@contextmanager
def possible():
    """A skip where the machine lacks what a row needs."""
    try:
        yield
    except battery.Missing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("row", [5, 6])
def test_one_case_holds(built, row):
    with possible():
        tried = battery.replay(PROMISES[row], 7, FROM_REPORT)
    assert tried > 0


@pytest.mark.full
@pytest.mark.parametrize("row", [5, 6])
def test_the_short_battery_holds(built, tmp_path, row):
    with possible():
        outcome = battery.run(PROMISES[row], PROMISES[row].gate, 7, tmp_path, print)
    assert outcome.failed == 0, outcome.kept
