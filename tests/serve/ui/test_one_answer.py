"""A description is the same words wherever one asks: session, command line, HTTP, page, evaluation, maps."""

import asyncio
import json
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import Image

from sightline.core.params.generation import SPIN_OFF
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.evaluate import predictions
from sightline.explain import target
from sightline.inference.session import Session
from sightline.serve.api import create_app
from sightline.serve.batch_model import Model, Reply
from sightline.serve.prometheus import Metrics
from sightline.serve.service import Service
from sightline.serve.ui import ask_tab
from sightline.serve.ui.ui_images import choose
from tests.support import command_line, serving, tiny

DEPLOYED = serving.deployed(batch=2)
BUNDLES = {
    "greedy": {},
    "beam": {"method": "beam", "beams": 3},
    "candidates": {"candidates": 4, "contrast": 1.0, "temperature": 2.0},
}


@pytest.fixture(scope="module", params=BUNDLES)
def asked(request, tmp_path_factory, tiny_graphs):
    """A bundle that describes in this way, and what its session says of a picture."""
    here = tmp_path_factory.mktemp(request.param)
    folder = serving.build_bundle(here, tiny_graphs, **BUNDLES[request.param])
    picture, session = tiny.pictures(1)[0], Session.load(folder)
    Image.fromarray(picture).save(here / "picture.png")
    answer = session.answer([picture], [DESCRIBE])[0]
    assert answer.decoding == request.param
    return SimpleNamespace(here=here, folder=folder, picture=picture, session=session, answer=answer)


def test_the_command_line(asked):
    done = command_line.run(
        asked.here, "ask", "picture.png", "--bundle", asked.folder, "--json", torch=False, code=0
    )
    row = json.loads(done.stdout)
    assert (row["answer"], row["decoding"]) == (asked.answer.text, asked.answer.decoding)
    assert row.get("candidates", {}) == {text: round(value, 4) for text, value in asked.answer.candidates}


def test_http_and_a_stream_that_says_what_it_cannot(asked):
    body = serving.chat(DESCRIBE) | {"sightline": {"explanation": True}}
    with serving.running(create_app(Model.load(asked.folder, 2), DEPLOYED)) as address:
        url = f"{address}/v1/chat/completions"
        whole = httpx.post(url, json=body, timeout=60).json()
        likeliest = httpx.post(url, json=body | {"temperature": 0}, timeout=60).json()
        lines = httpx.post(url, json=body | {"stream": True}, timeout=60).text.splitlines()
    parts = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    text = "".join(part["choices"][0]["delta"].get("content", "") for part in parts)
    assert whole["choices"][0]["message"]["content"] == asked.answer.text
    assert whole["sightline"]["decoding"] == asked.answer.decoding
    words = [word for word, _ in asked.session.tokenizer.words(asked.answer.ids)]
    assert [word["word"] for word in whole["sightline"]["explanation"]] == words
    assert text == likeliest["choices"][0]["message"]["content"]
    assert {found["sightline"]["decoding"] for found in (parts[-1], likeliest)} == {"greedy"}


def test_the_page(asked, workers):
    model = Model.load(asked.folder, 2)
    shown = choose(serving.url(serving.png(asked.picture)), model.session, DEPLOYED.limits, workers)

    async def reply():
        service = Service(model, DEPLOYED, Metrics(model, DEPLOYED.limits.queue))
        try:
            request = ask_tab.build_request(service, shown, DESCRIBE, None)
            parts = [part async for part in service.stream(request, ask_tab.deadline(service))]
            return next(part for part in parts if isinstance(part, Reply)).answer
        finally:
            service.close()

    answer = asyncio.run(reply())
    assert (answer.text, answer.decoding) == (asked.answer.text, asked.answer.decoding)


def test_evaluation_and_explanation(asked):
    pictures, triple = tiny.pictures(2), {"type": "describe", "question": DESCRIBE}
    split = SimpleNamespace(triples=[triple] * 2, picture_of=[0, 1], rgb=lambda: iter(pictures))
    generation = asked.session.settings.generation
    answers = predictions.answers(asked.session, split, generation, SPIN_OFF, batch_size=2)
    assert answers.texts[0] == asked.answer.text
    model = target.ExplainedModel(asked.session, SPIN_OFF)
    explained = target.explain(model, "cross_attention", asked.picture, DESCRIBE)
    assert explained.answer == asked.answer.text
    assert all(np.isfinite(heat.pixel_map).all() for heat in explained.words)
