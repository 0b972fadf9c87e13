"""Re-ranking of a search for words: the order by hand, what it needs, and every entrance."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import numpy as np
import pytest

from sightline.core import artifacts
from sightline.data import images
from sightline.inference import bundle_settings
from sightline.inference.session import Session
from sightline.search import reranking
from sightline.search.item_index import ItemIndex
from sightline.search.vector_index import SearchIndexError
from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from tests.support import command_line
from tests.support.serving import build_bundle, build_searching_bundle, deployed, running

WORDS, COUNT, ALL = "a small red ball", 4, 10


@pytest.fixture(scope="module")
def bundle(tiny_graphs, tmp_path_factory):
    return build_bundle(
        tmp_path_factory.mktemp("reranked"), tiny_graphs, thumbnails=64, description_weight=0.3
    )


@pytest.fixture(scope="module")
def session(bundle):
    return Session.load(bundle)


def opened(bundle, session):
    return ItemIndex(bundle / "index", session.search_digest())


def by_hand(session, index, words, count):
    """Ids of the `count` nearest pictures by cosine + weight x log-probability, then of the others by
    cosine."""
    near = index.search(session.embed_texts([words]), ALL, "image")[0]
    score = {}
    for hit in near[:count]:
        rgb = images.decode(index.thumbnail(hit.entry), 10**6)
        (logprob,) = session.score_captions([rgb], [words], np.array([0]), np.array([0]))
        score[hit.id] = hit.score + session.settings.description_weight * logprob
    return sorted(score, key=score.get, reverse=True) + [hit.id for hit in near[count:]]


def test_the_order_is_that_of_cosine_and_description(bundle, session, monkeypatch):
    index = opened(bundle, session)
    embed_E = session.embed_texts([WORDS])[0]
    near = index.search(embed_E[None], ALL, "image")[0]
    moved = 0
    for weight in (0.0, 0.05, 10.0):
        monkeypatch.setattr(session, "settings", session.settings.replaced(description_weight=weight))
        hits = reranking.search(session, index, WORDS, embed_E, ALL, COUNT)
        assert [hit.id for hit in hits] == by_hand(session, index, WORDS, COUNT)
        assert sorted(hits, key=lambda hit: hit.id) == sorted(near, key=lambda hit: hit.id)
        moved += hits != near
        assert weight or hits == near
        assert reranking.search(session, index, WORDS, embed_E, 2, COUNT) == hits[:2]
    assert moved  # the heaviest weight at least puts another picture first


def test_more_than_there_are_is_all_of_them(bundle, session):
    index = opened(bundle, session)
    embed_E = session.embed_texts([WORDS])[0]
    hits = reranking.search(session, index, WORDS, embed_E, 3, 50)
    assert [hit.id for hit in hits] == by_hand(session, index, WORDS, ALL)[:3]


def test_the_bundle_says_how_much_a_description_weighs(bundle, session, tmp_path):
    assert session.settings.description_weight == 0.3
    settings = artifacts.read_json(bundle / bundle_settings.GENERATION)
    del settings["description_weight"]  # a bundle of before
    artifacts.write_json(tmp_path / "generation.json", settings)
    assert bundle_settings.read(tmp_path / "generation.json").description_weight == 0.05


def test_without_pictures_or_answers_the_cure_is_named(tiny_graphs, tmp_path):
    (tmp_path / "plain").mkdir()
    plain = build_bundle(tmp_path / "plain", tiny_graphs)
    session = Session.load(plain)
    with pytest.raises(SearchIndexError, match="keeps no pictures.*sightline index"):
        reranking.check(session, opened(plain, session))
    (tmp_path / "searching").mkdir()
    searching = build_searching_bundle(tmp_path / "searching", tiny_graphs)
    session = Session.load(searching)
    with pytest.raises(SearchIndexError, match="this model only searches"):
        reranking.check(session, opened(searching, session))


def test_the_command_and_the_server_give_the_same_order(bundle, session, tmp_path):
    expected = by_hand(session, opened(bundle, session), WORDS, COUNT)[:3]
    asked = ["search", "--bundle", bundle, "--kind", "image", "--k", "3", "--rerank", str(COUNT), "--json"]
    done = command_line.run(tmp_path, *asked, WORDS, code=0)
    assert [row["id"] for row in json.loads(done.stdout)["results"]] == expected
    refused = command_line.run(tmp_path, "search", "--bundle", bundle, "--rerank", "4", WORDS, code=2)
    assert "give words, and --kind image" in " ".join(refused.stderr.replace("│", " ").split())
    none = command_line.run(tmp_path, "search", "--bundle", bundle, "--k", "0", WORDS, code=2)
    assert "--k" in none.stderr
    body = {"text": WORDS, "k": 3, "kind": "image", "rerank": COUNT}
    app = create_app(Model.load(bundle, 4), deployed(results=9))
    with running(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        found = client.post("/search", json=body)
        assert [row["id"] for row in found.json()["results"]] == expected, found.text
        for wrong in ({"kind": "fused"}, {"rerank": 10}, {"text": None, "image": "data:image/png;base64,"}):
            answer = client.post("/search", json=body | wrong)
            assert answer.status_code == 400 and "rerank" in answer.json()["error"]["message"], answer.text


def test_a_search_that_fails_harms_no_other(bundle, monkeypatch):
    """The first one holds the model until all have come: those behind it could share a batch."""
    real, come, release = reranking.search, [], threading.Event()

    def search(session, index, text, *rest):
        come.append(text)
        assert release.wait(60)
        if text == "bad":
            raise OSError("a file of the index is gone")
        return real(session, index, text, *rest)

    monkeypatch.setattr(reranking, "search", search)
    app = create_app(Model.load(bundle, 4), deployed())
    with running(app) as address, ThreadPoolExecutor(4) as threads:

        def ask(words):
            body = {"text": words, "kind": "image", "rerank": COUNT}
            return threads.submit(httpx.post, f"{address}/search", json=body, timeout=60)

        asked = [ask(WORDS)]
        while not come:
            assert not asked[0].done(), asked[0].result().text
            time.sleep(0.01)
        asked += [ask(words) for words in ("bad", WORDS, "a ball")]
        while app.state.middleware.inside < 4:
            assert not any(each.done() for each in asked)
            time.sleep(0.01)
        time.sleep(0.5)  # until the three wait for the model
        release.set()
        assert [each.result().status_code for each in asked] == [200, 500, 200, 200]


def test_a_server_whose_index_keeps_no_pictures_says_so(tiny_graphs, tmp_path):
    app = create_app(Model.load(build_bundle(tmp_path, tiny_graphs), 4), deployed())
    with running(app) as address:
        body = {"text": WORDS, "kind": "image", "rerank": 5}
        answer = httpx.post(f"{address}/search", json=body, timeout=60)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "no_reranking", "rerank")
