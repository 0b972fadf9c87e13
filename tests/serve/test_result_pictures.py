"""The pictures of results over HTTP: of an index that keeps them, of one that does not, hostile ids."""

import httpx2 as httpx
import pytest

from sightline.search.user_index import write
from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from tests.support.indexes import made
from tests.support.serving import deployed, running

NAMES = ["../../etc/passwd", "naïve 猫 ", "a&id=b?#%00", "plain", "<script>", '"', "\\..\\"]


@pytest.fixture(scope="module")
def own(model, bundle, tmp_path_factory):
    """(rows, client) of a server over an index of items with strange ids."""
    rows = made(NAMES, width=16)
    folder = tmp_path_factory.mktemp("own") / "index"
    write(folder, model.session.search_digest(), 16, rows.blocks(), None)
    with running(create_app(Model.load(bundle, 4, folder), deployed(batch=4))) as address:
        with httpx.Client(base_url=address, timeout=60) as client:
            yield rows, client


def test_every_item_shows_its_own_picture_or_none(own):
    rows, client = own
    for name in NAMES:
        told = client.get("/picture", params={"id": name})
        if name in rows.thumbnails:
            assert (told.status_code, told.content) == (200, rows.thumbnails[name])
            assert told.headers["content-type"] == "image/jpeg"
            assert told.headers["x-content-type-options"] == "nosniff"
        else:
            assert told.status_code == 404 and told.json()["error"]["code"] == "unknown_item"


def test_results_say_where_pictures_came_from(own):
    rows, client = own
    found = client.post("/search", json={"text": "x", "k": 50}).json()["results"]
    assert {hit["id"]: hit["from"] for hit in found} == {entry.id: entry.source for entry in rows.entries}
    near = client.post("/similar", json={"id": NAMES[1]}).json()["results"]
    assert {hit["id"] for hit in near} == set(NAMES) - {NAMES[1]}


@pytest.mark.parametrize("id", ["nobody", "/etc/passwd", "..%2f..", "x" * 500, "\0", "٠"])
def test_an_id_that_is_not_there_is_answered_404_and_never_repeated(own, id):
    told = own[1].get("/picture", params={"id": id})
    assert told.status_code == 404 and id not in told.text.replace("id", "")


@pytest.mark.parametrize("query", ["", "?id=", "?id=" + "x" * 501])
def test_no_id_and_too_long_a_one_are_refused(own, query):
    told = own[1].get(f"/picture{query}")
    assert told.status_code == 400 and told.json()["error"]["param"] == "id"


def test_an_index_without_pictures_answers_404(client):
    assert client.get("/picture", params={"id": "item-0"}).status_code == 404
