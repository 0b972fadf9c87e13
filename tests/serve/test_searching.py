"""A server over a model that only searches: questions are refused in one sentence, the rest works."""

import httpx2 as httpx
import pytest

from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from tests.support import tiny
from tests.support.serving import chat, deployed, png, running, url


@pytest.fixture(scope="module")
def client(searching_bundle):
    app = create_app(Model.load(searching_bundle, 4), deployed(batch=4))
    with running(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def test_questions_are_refused_with_the_reason(client):
    picture = url(png(tiny.pictures(1)[0]))
    for route, body in (
        ("/v1/chat/completions", chat("What color is the ball?")),
        ("/v1/chat/completions", chat("What color is the ball?", stream=True)),
        ("/explain", {"image": picture, "question": "What color is the ball?"}),
    ):
        refused = client.post(route, json=body)
        assert refused.status_code == 400 and refused.json()["error"]["code"] == "no_answers"
        assert "finetune.epochs" in refused.json()["error"]["message"]


def test_search_embeddings_and_state_work(client):
    picture = url(png(tiny.pictures(1)[0]))
    for body in ({"text": "a red ball"}, {"image": picture}):
        assert client.post("/search", json={**body, "k": 3}).json()["results"]
    embedded = client.post("/v1/embeddings", json={"model": "sightline", "input": ["a red ball", picture]})
    assert [len(row["embedding"]) for row in embedded.json()["data"]] == [16, 16]
    for route in ("/ready", "/metrics", "/v1/models"):
        assert client.get(route).status_code == 200
