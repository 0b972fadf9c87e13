"""`sightline tune` on the real pipeline: one trial of the profile smoke that ends with the alignment."""

import json

import pytest

from tests.support import command_line


@pytest.mark.full
def test_one_real_trial(experiment_repo):
    """The figure is the last value of the stage's own curve, and the experiment can be applied."""
    pytest.importorskip("optuna", reason="Optuna is not installed (the extra `tune`): no search was run")
    words = ["tune", "-S", "align.epochs=1..2", "-S", "launch=python", "--objective", "align.val_recall_at_1"]
    done = experiment_repo.run(*command_line.command(*words, "--trials", "1", "--name", "short"))
    assert "1 trials: 1 finished" in done.stdout and "try: dvc exp apply short-0" in done.stdout
    experiment_repo.run("dvc", "exp", "apply", "short-0")
    curves = json.loads((experiment_repo.path / "plots" / "align" / "metrics.json").read_text())
    assert f"align.val_recall_at_1 {curves['val_recall_at_1']:.2f} of short-0" in done.stdout
    assert (
        experiment_repo.run("dvc", "status", "align").stdout.strip() == "Data and pipelines are up to date."
    )
