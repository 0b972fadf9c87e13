"""The stage `resolve` under the real DVC: what `-S` changes, what reruns, what a refused value leaves."""

import json

import pytest

from sightline.core.params import edit
from tests.pipeline.conftest import fresh
from tests.support.sources import jpeg


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


def test_tracking_reruns_nothing(repo):
    repo.run("dvc", "repro", "resolve")
    edit.fill(repo.path / "params.yaml", {"tracking": ["mlflow"]})
    assert repo.stages_run(repo.run("dvc", "repro", "resolve").stdout) == []
    repo.run("dvc", "exp", "run", "-S", "tracking=[]", "resolve")
    assert added(repo, "params.yaml") == ["tracking:   []"] and added(repo, "resolved.yaml") == []


def test_what_is_edited_is_read_again_and_nothing_else(repo, tmp_path):
    """A cell of a table and a picture rerun from `download` on; a file that nothing reads reruns nothing."""
    table, pictures = tmp_path / "items.csv", tmp_path / "pictures"
    pictures.mkdir()
    for number in range(12):
        (pictures / f"{number}.jpg").write_bytes(jpeg(number))
    rows = [f"i{number},{number}.jpg,A red ball {number}." for number in range(12)]
    table.write_text("\n".join(["id,image,caption", *rows]))
    given = [f"data.path={table}", f"data.pictures={pictures}"]
    run = [word for leaf in ("profile=own", *given) for word in ("-S", leaf)]
    assert repo.stages_run(repo.run("dvc", "exp", "run", *run, "convert").stdout) == [
        "resolve", "download", "convert",
    ]  # fmt: skip

    def rerun() -> list[str]:
        return repo.stages_run(repo.run("dvc", "repro", "convert").stdout)

    assert rerun() == []
    table.write_text(table.read_text().replace("A red ball 3.", "A blue cup."))
    assert rerun() == ["download", "convert"]
    (pictures / "3.jpg").write_bytes(jpeg(99))
    assert rerun() == ["download", "convert"]
    (tmp_path / "notes.txt").write_text("nothing reads this")
    assert rerun() == []


@pytest.mark.parametrize("name", ["weights.safetensors", "siglip/model.safetensors"])
def test_exchanged_weights_change_the_one_stage_that_reads_them(repo, tmp_path, name):
    """A file, or a model's folder."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"one")
    weights = tmp_path / name.split("/")[0]
    edit.fill(repo.path / "params.yaml", {"vision.checkpoint": str(weights)})
    readers = [name for name, said in status(repo).items() if str(weights) in said]
    assert readers == ["align"]


def status(repo) -> dict[str, str]:
    return {
        name: json.dumps(said)
        for name, said in json.loads(repo.run("dvc", "status", "--json").stdout).items()
    }


def test_a_table_that_cannot_be_trained_on_stops_at_download(repo, tmp_path):
    table = tmp_path / "items.csv"
    table.write_text("id,caption\n1,A red ball.\n2,A blue cup.\n")
    run = ("dvc", "exp", "run", "-S", "profile=own", "-S", f"data.path={table}", "convert")
    done = repo.run(*run, ok=False)
    assert done.returncode and "none of 2 items has a picture" in done.stdout + done.stderr
    assert repo.stages_run(done.stdout) == ["resolve", "download"]
