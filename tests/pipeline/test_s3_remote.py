"""A team that shares through S3, by the lines of docs/guide/share.md as they are typed there, against a server
that speaks its protocol."""

import re
import subprocess

import pytest

from tests.support.command_line import ROOT

BUCKET = "our-bucket"


def lines(guide, heading):
    """The shell lines of a section's blocks, without their comments, block by block."""
    text = (ROOT / "docs" / "guide" / guide).read_text(encoding="utf-8")
    section = re.split(r"^## ", text.split(f"\n## {heading}\n")[1], flags=re.M)[0]
    blocks = re.findall(r"^```\n(.*?)^```", section, flags=re.S | re.M)
    return [[re.sub(r"\s+# .*", "", line) for line in block.splitlines()] for block in blocks]


@pytest.fixture
def s3(monkeypatch):
    """The address of an S3 server with the bucket of the guide."""
    why = "is not installed (the extra `services`): sharing through S3 was not tried"
    pytest.importorskip("moto", reason=f"moto {why}")
    pytest.importorskip("dvc_s3", reason=f"dvc-s3 {why}")
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
    yield address
    server.stop()


def objects(address):
    """Bytes of what the bucket holds, by key."""
    import boto3

    pages = boto3.client("s3", endpoint_url=address).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}


def typed(repo, line, endpoint):
    """Run a line of the guide; a new remote is told where the server is."""
    done = repo.run("bash", "-euc", line)
    if line.startswith("dvc remote add"):
        repo.run("dvc", "remote", "modify", "team", "endpointurl", endpoint)
    return done


def test_a_team_builds_once_and_shares_through_s3(experiment_repo, s3, tmp_path):
    author, origin = experiment_repo, tmp_path / "origin.git"
    author.run("git", "init", "-q", "--bare", "-b", "main", str(origin))
    author.run("git", "remote", "set-url", "origin", str(origin))
    (setup, theirs_by_guide, experiment, colleague) = lines("share.md", "Within a team")

    missing = author.run("dvc", "push", ok=False)
    assert missing.returncode and "no remote" in missing.stderr.lower()  # DVC names what is missing

    for line in setup:
        typed(author, line, s3)
    held = objects(s3)
    built = subprocess.run(["git", "show", "HEAD:dvc.lock"], cwd=origin, capture_output=True, text=True, check=True)
    assert f"s3://{BUCKET}" in (author.path / ".dvc" / "config").read_text()
    assert sum(held.values()) > 1_000_000 and any("/runs/" in key for key in held)
    assert "Everything is up to date" in author.run("dvc", "push", "--run-cache").stdout
    assert objects(s3) == held

    clone = type(author)(tmp_path / "sightline")
    outputs = []
    for line in theirs_by_guide:
        folder = tmp_path if line.startswith("git clone") else clone.path
        line = line.replace("git@example.org:ada/balls.git", str(origin)).replace("balls", "sightline")
        outputs.append(type(author)(folder).run("bash", "-euc", line).stdout)
    assert [stage for output in outputs for stage in author.stages_run(output)] == []
    assert clone.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    assert (clone.path / "dvc.lock").read_text() == built.stdout
    name = "models/bundle/manifest.json"
    assert (clone.path / name).read_bytes() == (author.path / name).read_bytes()
    assert clone.run("git", "status", "--porcelain").stdout == ""

    for line in experiment:
        typed(author, line, s3)
    for line in colleague:
        done = typed(clone, line, s3)
    assert "0.5" in clone.run("git", "diff", "--", "params.yaml").stdout
    assert author.stages_run(done.stdout) == []
    read = "metrics/gate/gate.json"
    assert author.stages_run(clone.run("dvc", "repro", "--pull").stdout) == [], read
