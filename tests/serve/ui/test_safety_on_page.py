"""The page holds to the policy as the API does."""

import asyncio
import re
from pathlib import Path

import pytest

from sightline.serve.image_input import Picture
from sightline.serve.prometheus import Metrics
from sightline.serve.service import Service
from sightline.serve.ui import ask_tab, compare_tab, search_tab
from sightline.serve.ui.ui_images import Thumbs
from tests.serve.ui.conftest import LIMITS
from tests.serve.ui.test_tabs import collect, shown  # noqa: F401  (a fixture)
from tests.support import serving

POLICY = str(Path(__file__).resolve().parents[3] / "deploy" / "safety" / "default.yaml")
RACE = "What race is the man?"


@pytest.fixture
def screened(model):
    """Runs an async function of a service with the default policy; returns what it returned, and the reasons
    that were counted."""

    def run(call):
        async def main():
            metrics = Metrics(model, LIMITS.queue)
            service = Service(model, serving.deployed(batch=4, safety=POLICY), metrics)
            try:
                return await call(service), metrics.text().decode()
            finally:
                service.close()

        told, figures = asyncio.run(main())
        rows = re.findall(r'^sightline_safety_decisions_total{reason="(\w+)"} (\d+)', figures, flags=re.M)
        return told, {reason for reason, count in rows if int(count)}

    return run


def test_a_question_about_a_person_is_refused_on_both_tabs(screened, shown, checkout):  # noqa: F811
    assert isinstance(shown.picture, Picture)
    panels, seen = screened(lambda service: collect(ask_tab.answer(service, shown, RACE, False, 0.5, 0.5)))
    assert "does not answer" in panels[-1][0] and "question_race" in panels[-1][0]
    assert seen == {"question_race"} and "data-map" not in panels[-1][0]
    variants = compare_tab.Variants(checkout)
    page, seen = screened(lambda service: compare_tab.table(service, variants, shown, RACE))
    assert "question_race" in page and "sl-said" not in page and seen == {"question_race"}


def test_a_doubtful_answer_is_decided_on_as_over_http(screened, shown):  # noqa: F811
    question = "Is there a gnu?"
    panels, seen = screened(
        lambda service: collect(ask_tab.answer(service, shown, question, False, 0.5, 0.5))
    )
    assert {"question_out_of_domain", "answer_unsure"} <= seen
    assert "question_out_of_domain" in panels[-1][0]
    growing = [re.sub(r"<[^>]+>", "", left) for left, _ in panels[:-1]]
    assert set(growing) == {"Answer"}  # nothing is shown before the whole answer was judged


def test_a_search_for_people_by_race_finds_nothing(screened, bundle, checkout):
    thumbs = Thumbs(bundle, checkout)
    page, seen = screened(lambda service: search_tab.by_words(service, thumbs, "an asian woman"))
    assert "does not search" in page and "sl-card" not in page and seen == {"question_race"}
    page, seen = screened(lambda service: search_tab.by_words(service, thumbs, "a red ball"))
    assert "sl-card" in page and seen == set()
