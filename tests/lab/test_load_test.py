"""`sightline lab load` over the smoke run: every part, through the real command and real servers."""

import json

import pytest

from sightline_lab.load_test import run_load_test


@pytest.mark.full
def test_every_part_is_measured_and_told(experiment_repo):
    experiment_repo.run("sightline", "load", "--scale", "0.004")
    found = json.loads((experiment_repo.path / "metrics/serving.json").read_text())
    assert set(found) == set(run_load_test.PARTS)
    assert found["identical"]["identical"] == found["identical"]["requests"]
    assert found["schema"]["faults"] == found["overload"]["hung"] == found["overload"]["broken"] == 0
    assert set(found["overload"]["statuses"]) <= {"200", "429"}
    assert found["hostile"]["refused_or_answered"] == found["hostile"]["uploads"]
    for kind in ("short", "long"):
        assert found["throughput"][kind]["ratio"]["median"] > 0 and "naive" in found["naive"][kind]
    page = (experiment_repo.path / "docs/reports/load.md").read_text()
    assert page.count("**Provisional**") == len(run_load_test.PARTS)


def test_an_unknown_part_is_refused_by_name(smoke):
    done = smoke.run("sightline", "load", "--part", "speed", ok=False)
    assert done.returncode == 2 and "no part speed" in done.stderr
