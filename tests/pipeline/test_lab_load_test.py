"""`sightline lab load` over the smoke run: every part, through the real command and real servers."""

import json

import pytest

from sightline_lab.load_test import run_load_test


@pytest.mark.full
def test_every_part_is_measured_and_told(experiment_repo):
    experiment_repo.run("sightline", "lab", "load", "--scale", "0.004")
    result = json.loads((experiment_repo.path / "metrics/serving.json").read_text())
    assert set(result) == set(run_load_test.PARTS)
    assert result["identical"]["identical"] == result["identical"]["requests"]
    assert result["schema"]["faults"] == result["overload"]["hung"] == result["overload"]["broken"] == 0
    assert set(result["overload"]["statuses"]) <= {"200", "429"}
    assert result["hostile"]["refused_or_answered"] == result["hostile"]["uploads"]
    for kind in ("short", "long"):
        assert result["throughput"][kind]["ratio"]["median"] > 0 and "naive" in result["naive"][kind]
    page = (experiment_repo.path / "docs/reports/load.md").read_text()
    assert page.count("**Provisional**") == len(run_load_test.PARTS)


def test_an_unknown_part_is_refused_by_name(smoke):
    done = smoke.run("sightline", "lab", "load", "--part", "speed", ok=False)
    assert done.returncode == 2 and "no part speed" in done.stderr
