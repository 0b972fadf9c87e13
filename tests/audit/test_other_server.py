"""A chat server that is not ours: `transformers serve`, with a tiny LLaVA of random weights."""

import os
import subprocess
import sys
import time
import urllib.request

import pytest

from sightline.audit import run_audit
from sightline.audit.endpoint_answerer import Budget, EndpointAnswerer
from sightline.audit.endpoint_connection import Connection
from sightline.audit.transformers_answerer import TransformersAnswerer
from tests.support import vision_models
from tests.support.serving import free_port

TOKENS = 5
START_S = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return vision_models.save(tmp_path_factory.mktemp("model"), "llava", True)


@pytest.fixture(scope="module")
def address(folder, tmp_path_factory):
    """Of a running `transformers serve` that has loaded the model."""
    why = "accelerate is not installed (the extra `services`): no other chat server was audited"
    pytest.importorskip("accelerate", reason=why)
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log.txt"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    with open(log, "wb") as out:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", port], stdout=out, stderr=out, env=env
        )
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def test_its_answers_are_those_of_the_model_opened_here(address, folder, small):
    requests = small.requests(TOKENS)[:24]
    here = {
        request.key: reply for request, reply in TransformersAnswerer(str(folder), None, 1).answers(requests)
    }
    made = EndpointAnswerer(Connection(address, "", 0.0, 60.0, 0.01), str(folder), 4, Budget(), ())
    there = {request.key: reply for request, reply in made.answers(requests)}
    assert set(here) == set(there) and len(there) == 24
    assert {key: reply.text.strip() for key, reply in there.items()} == {
        key: reply.text
        for key, reply in here.items()  # without blanks around
    }
    assert all(reply.completion_tokens >= 1 for reply in there.values())


def test_it_gets_a_whole_report(address, folder, small, tmp_path):
    made = EndpointAnswerer(Connection(address, "", 0.0, 60.0, 0.01), str(folder), 4, Budget(), ())
    with run_audit.folder(tmp_path / "audit") as out:
        report = run_audit.run(small, made, out, TOKENS, Budget())
    assert report.model.form == "endpoint" and len(report.figures) > 50
    assert (tmp_path / "audit" / "audit.html").is_file()
