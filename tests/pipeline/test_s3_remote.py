"""A team that shares through S3, by the lines of docs/guide/share.md as they are typed there, against a
server that speaks its protocol."""

import re

import pytest

from tests.support.command_line import ROOT

BUCKET = "our-bucket"
ORIGIN = "git@example.org:ada/balls.git"
GUIDE = (ROOT / "docs" / "guide" / "share.md").read_text(encoding="utf-8")


def blocks(heading):
    """What a section of the guide has to be typed, block by block."""
    section = re.split(r"^## ", GUIDE.split(f"\n## {heading}\n")[1], flags=re.M)[0]
    return re.findall(r"^```\n(.*?)^```", section, flags=re.S | re.M)


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


def test_a_team_builds_once_and_shares_through_s3(experiment_repo, s3, tmp_path):
    author, desk = experiment_repo, type(experiment_repo)(tmp_path / "desk")
    origin = tmp_path / "balls.git"
    desk.path.mkdir()
    author.run("git", "init", "-q", "--bare", "-b", "main", str(origin))
    author.run("git", "remote", "set-url", "origin", str(origin))
    setup, colleague, experiment, taken = blocks("Within a team")

    alone = author.run("dvc", "push", ok=False)
    assert alone.returncode and "no remote" in alone.stderr  # what is missing is named

    added, rest = setup.split("\n", 1)
    author.run("bash", "-euc", f"{added}\ndvc remote modify team endpointurl {s3}\n{rest}")
    held = objects(s3)
    assert sum(held.values()) > 1_000_000 and any("/runs/" in key for key in held)
    assert "Everything is up to date" in author.run("dvc", "push").stdout
    assert objects(s3) == held

    assert ORIGIN in colleague
    done = desk.run("bash", "-euc", colleague.replace(ORIGIN, str(origin)))
    clone = type(author)(desk.path / "balls")
    assert author.stages_run(done.stdout) == []
    assert clone.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    assert clone.run("git", "status", "--porcelain").stdout == ""
    built = "models/bundle/manifest.json"
    assert (clone.path / built).read_bytes() == (author.path / built).read_bytes()

    author.run("bash", "-euc", experiment)
    clone.run("bash", "-euc", taken)
    assert (clone.path / "resolved.yaml").read_text() == (author.path / "resolved.yaml").read_text()
    assert "keep: 0.25" in clone.run("git", "diff", "--", "params.yaml").stdout
    assert author.stages_run(clone.run("dvc", "repro").stdout) == []
    figures = "metrics/summary.json"
    assert (clone.path / figures).read_bytes() == (author.path / figures).read_bytes()
