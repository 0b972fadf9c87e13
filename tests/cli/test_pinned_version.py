"""The line of requirements.txt: a commit or a wheel, never a bare name, no password."""

import os
import subprocess

import pytest

from sightline.cli.new_repository import pinned_version

PINNED = "sightline-vlm[serve,train] @ "
IDENTITY = {
    f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def git(folder, *words):
    done = subprocess.run(
        ["git", *words], cwd=folder, env=os.environ | IDENTITY, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "a checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "file").write_text("1")
    git(folder, "add", "file")
    git(folder, "commit", "-qm", "one")
    return folder


def test_a_checkout_without_a_remote_is_pinned_where_it_lies(checkout):
    pin = pinned_version.of_checkout(checkout)
    address = checkout.as_uri()
    assert pin.line == f"{PINNED}git+{address}@{git(checkout, 'rev-parse', 'HEAD')}" and not pin.warning


def test_uncommitted_changes_are_said(checkout):
    (checkout / "file").write_text("2")
    assert "in no commit" in pinned_version.of_checkout(checkout).warning


def test_a_commit_that_is_not_on_the_remote_is_said(checkout, tmp_path):
    git(checkout, "clone", "-q", "--bare", str(checkout), str(tmp_path / "remote.git"))
    git(checkout, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(checkout, "fetch", "-q", "origin")
    pin = pinned_version.of_checkout(checkout)
    assert pin.line.startswith(f"{PINNED}git+{(tmp_path / 'remote.git').as_uri()}@") and not pin.warning
    git(checkout, "commit", "-q", "--allow-empty", "-m", "two")
    assert "push it" in pinned_version.of_checkout(checkout).warning


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://user:secret@example.org/a/b.git", "git+https://example.org/a/b.git@"),
        ("git@example.org:a/b.git", "git+ssh://git@example.org/a/b.git@"),
        ("ssh://git:secret@example.org:22/a/b.git", "git+ssh://git@example.org:22/a/b.git@"),
    ],
)
def test_a_remote_is_shown_without_passwords(checkout, remote, shown):
    git(checkout, "remote", "add", "origin", remote)
    assert pinned_version.of_checkout(checkout).line.startswith(PINNED + shown)


def test_a_folder_without_git_gives_no_line(tmp_path, checkout):
    (checkout / "unpacked").mkdir()
    for folder in (tmp_path, checkout / "unpacked"):
        pin = pinned_version.of_checkout(folder)
        assert pin.line == "" and "no git checkout" in pin.warning


def test_what_pip_recorded(checkout):
    commit = "0123456789" * 4
    record = {"url": "https://u:p@example.org/a.git", "vcs_info": {"vcs": "git", "commit_id": commit}}
    assert pinned_version.of_record(record).line == f"{PINNED}git+https://example.org/a.git@{commit}"
    wheel = {"url": "file:///w/x.whl", "archive_info": {"hashes": {"sha256": "ab"}}}
    assert pinned_version.of_record(wheel).line == f"{PINNED}file:///w/x.whl#sha256=ab"
    folder = pinned_version.of_record({"url": checkout.as_uri(), "dir_info": {}})
    assert folder.line.startswith(PINNED + "git+")
    unknown = pinned_version.of_record({})
    assert unknown.line == "" and unknown.warning
