"""What the page keeps has an end: sessions, answers that nobody collects, pictures; and a
forgotten picture is no other picture."""

import json

import httpx2 as httpx
import pytest

from sightline.data.image_workers import ImageWorkers
from sightline.serve.api import create_app
from sightline.serve.ui import ask_tab, ui_images
from sightline.serve.ui.mount import mount
from sightline.serve.ui.sessions import KeptPictures, Sessions
from tests.serve.ui.test_served_page import events
from tests.support import serving, tiny


@pytest.fixture(scope="module")
def small(model, bundle, checkout):
    """(application, client) of a server whose page keeps three sessions."""
    deployment = serving.deployed(batch=4, sessions=3)
    app = mount(create_app(model, deployment), model, deployment.limits, bundle, checkout)
    with serving.running(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        client.get("/")
        yield app, client


def ask(client, session):
    told = events(client, "on_ask", [None, "What color is the ball?", False, 0.5, 0.5], session=session)
    return json.dumps(told[-1]["output"]["data"])


def upload(client, session):
    url = serving.url(serving.png(tiny.pictures(1)[0]))
    return events(client, "on_upload", [], {"picture": url}, session)[-1]["success"]


def test_a_session_too_many_costs_the_oldest_its_picture_and_no_other_is_taken(small):
    client = small[1]
    assert upload(client, "first") and "data-map" in ask(client, "first")
    for session in ("second", "third", "fourth"):
        assert upload(client, session)
    assert "data-map" in ask(client, "fourth")
    assert ask_tab.NO_PICTURE in ask(client, "first").replace("\\", "")


def page_of(names):
    """What Gradio keeps of these sessions."""

    class Page:
        class _queue:
            pending_messages_per_session = {name: "answers" for name in names}
            pending_event_ids_session = {name: {1} for name in names}

        class state_holder:
            session_data = {name: "state" for name in names}
            time_last_used = {name: 0 for name in names}

    return Page


def test_of_too_many_sessions_the_one_unused_for_longest_is_forgotten():
    page = page_of("abcd")
    sessions = Sessions(serving.deployed(sessions=3, queue=100).limits)
    sessions.watch(page)
    for session in "abcab":
        sessions.event(session)
    assert page.state_holder.session_data.keys() == set("abcd")
    sessions.event("d")  # c was used before a and b
    assert page.state_holder.session_data.keys() == set("abd")
    assert page._queue.pending_messages_per_session.keys() == set("abd")


def test_answers_that_nobody_collects_are_forgotten():
    Page = page_of("abc")
    kept = Page._queue.pending_messages_per_session
    sessions = Sessions(serving.deployed(sessions=3, queue=4).limits)
    sessions.watch(Page)
    assert Page.state_session_capacity == 3
    for session in "abbc":
        sessions.event(session)
    assert kept.keys() == set("abc")
    sessions.event("c")  # of five answers nobody collected two of b: those go
    assert kept.keys() == set("ac") == Page.state_holder.session_data.keys()
    sessions.collected("c")
    for _ in range(3):
        sessions.event("c")
    assert kept.keys() == set("ac")
    sessions.event("c")
    assert kept.keys() == {"a"} == Page._queue.pending_event_ids_session.keys()
    assert Page.state_holder.time_last_used.keys() == {"a"}


def test_pictures_are_bounded_by_their_bytes(model):
    url = serving.url(serving.png(tiny.pictures(1)[0]))
    with ImageWorkers() as workers:
        picture = ui_images.choose(url, model.session, serving.deployed().limits, workers)
    size = picture.picture.pixels_CYX.nbytes + len(picture.view)
    kept = KeptPictures(3 * size)
    names = [kept.put(picture) for _ in range(3)]
    assert kept.get(names[0]) is picture  # and the second is now the one unused for longest
    names.append(kept.put(picture))
    assert [kept.get(name) is None for name in names] == [False, True, False, False]
    kept.forget(names[0])
    names.append(kept.put(picture))
    assert [kept.get(name) is None for name in names] == [True, True, False, False, False]
    assert kept.get(None) is None and len(set(names)) == 5
