"""The stage `resolve` under the real DVC: what `-S` changes, what reruns, what a refused value leaves."""

import pytest

from tests.pipeline.conftest import fresh


@pytest.fixture(scope="module")
def resolved_repo(tmp_path_factory):
    repo = fresh(tmp_path_factory.mktemp("resolve") / "sightline")
    repo.run("dvc", "repro", "resolve")
    repo.commit("resolved")
    return repo


@pytest.fixture
def repo(resolved_repo):
    yield resolved_repo
    # A failed `dvc exp run` leaves an index that takes an edit of equal length for unchanged, until its time
    # stamp differs; and DVC stages what it changed.
    (resolved_repo.path / "params.yaml").touch()
    resolved_repo.run("git", "reset", "-q", "--hard")
    resolved_repo.run("git", "clean", "-qfd")


def added(repo, file: str) -> list[str]:
    lines = repo.run("git", "diff", "-U0", "HEAD", "--", file).stdout.splitlines()
    return [line[1:].split("#")[0].strip() for line in lines if line[:1] == "+" and line[:3] != "+++"]


def test_an_override_changes_exactly_its_line(repo):
    repo.run("dvc", "exp", "run", "-S", "lr=1e-4", "-S", "align.epochs=9", "resolve")
    assert added(repo, "params.yaml") == ["lr: 0.0001", "epochs: 9"]
    assert added(repo, "resolved.yaml") == ["lr: 0.0001", "epochs: 9.0"]
    changed = repo.run("dvc", "params", "diff", "--md").stdout
    assert len([line for line in changed.splitlines() if line.startswith("| ") and "yaml" in line]) == 4


def test_another_profile_changes_its_line_and_what_differs(repo):
    repo.run("dvc", "exp", "run", "-S", "profile=study", "resolve")
    assert added(repo, "params.yaml") == ["profile: study"]
    assert "epochs: 3.2" in added(repo, "resolved.yaml")


def test_a_refused_value_leaves_the_resolved_file_as_it_was(repo):
    done = repo.run("dvc", "exp", "run", "-S", "lr=fast", "resolve", ok=False)
    assert done.returncode and "params.yaml:8: lr: got 'fast' (str), allowed: a finite number > 0" in (
        done.stdout + done.stderr
    )
    assert added(repo, "resolved.yaml") == []


def test_a_profile_that_is_not_chosen_reruns_resolve_alone(repo):
    study = repo.path / "profiles" / "study.yaml"
    study.write_text(study.read_text().replace("3.2", "3.3"))
    assert repo.stages_run(repo.run("dvc", "repro", "resolve").stdout) == ["resolve"]
    assert added(repo, "resolved.yaml") == []


def test_launch_changes_no_resolved_value(repo):
    repo.run("dvc", "exp", "run", "-S", "launch=python", "resolve")
    assert added(repo, "params.yaml") == ["launch: python"] and added(repo, "resolved.yaml") == []


def test_an_edited_table_is_read_again(repo, tmp_path):
    table = tmp_path / "items.csv"
    rows = [f"red ball {n},a red ball {n},,i{n}" for n in range(40)]
    table.write_text("title,description,image_url,id\n" + "\n".join(rows) + "\n")
    run = ("dvc", "exp", "run", "-S", "profile=own", "-S", f"data.path={table}", "download")
    assert repo.stages_run(repo.run(*run).stdout) == ["resolve", "download"]
    again = repo.run("dvc", "repro", "download").stdout
    assert repo.stages_run(again) == []
    table.write_text(table.read_text() + "blue cup,a blue cup,,cup\n")
    assert repo.stages_run(repo.run("dvc", "repro", "download").stdout) == ["download"]
