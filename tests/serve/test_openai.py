"""OpenAI's own client against a real server on loopback."""

import numpy as np
import openai
import pytest

from sightline.core.params.generation import SPIN_OFF
from sightline.inference.session import Session
from sightline.search.bundle import INDEX
from sightline.search.item_index import ItemIndex
from tests.support import tiny
from tests.support.serving import SPIN, chat, png, url


@pytest.fixture
def ai(shared):
    with openai.OpenAI(base_url=f"{shared}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def session(bundle):
    return Session.load(bundle)


def test_models_are_listed(ai):
    assert [model.id for model in ai.models.list()] == ["sightline"]
    assert ai.models.retrieve("sightline").object == "model"
    with pytest.raises(openai.NotFoundError, match="this server has sightline"):
        ai.models.retrieve("gpt-4o")


@pytest.mark.parametrize("spin", [False, True])
def test_an_answer_is_the_sessions_own(ai, session, spin):
    picture, question = tiny.pictures(1)[0], "What color is the ball?"
    told = ai.chat.completions.create(**chat(question), extra_body={"sightline": {"spin": spin}})
    alone = session.answer([picture], [question], spin=SPIN if spin else SPIN_OFF, batch_size=4)[0]
    assert told.choices[0].message.content == alone.text
    assert told.choices[0].finish_reason == ("stop" if alone.finished else "length")
    assert told.usage.completion_tokens == len(alone.ids)
    assert told.usage.prompt_tokens > len(alone.question_ids)
    assert told.sightline["confidence"] == round(alone.confidence, 4)
    assert (told.sightline["silenced_heads"] > 0) == spin


@pytest.mark.parametrize("more", [{}, {"temperature": 1.5, "seed": 3}, {"max_tokens": 3}])
def test_streaming_says_the_same(ai, more):
    body = chat("Describe the image in detail.", **more)
    whole = ai.chat.completions.create(**body)
    parts = list(ai.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}))
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == whole.choices[0].message.content
    assert len([part for part in parts if part.choices and part.choices[0].delta.content]) > 1
    ends = [part.choices[0].finish_reason for part in parts if part.choices]
    assert ends[-1] == whole.choices[0].finish_reason and set(ends[:-1]) == {None}
    assert parts[-1].usage == whole.usage
    assert parts[-2].sightline == whole.sightline


def test_a_seed_repeats_a_sample_and_seeds_differ(ai):
    def say(seed):
        body = chat("Describe the image in detail.", temperature=2.0, seed=seed)
        return ai.chat.completions.create(**body).choices[0].message.content

    assert say(1) == say(1)
    assert len({say(seed) for seed in range(4)}) > 1


def test_a_tiny_nucleus_is_greedy(ai):
    greedy = ai.chat.completions.create(**chat()).choices[0].message.content
    body = chat(temperature=1.0, top_p=1e-9, seed=5)
    assert ai.chat.completions.create(**body).choices[0].message.content == greedy


def test_embeddings_of_texts_and_pictures(ai, session):
    picture, text = tiny.pictures(1)[0], tiny.CAPTIONS[0]
    for form in ({}, {"encoding_format": "float"}):  # the client asks for base64 by itself
        found = ai.embeddings.create(model="sightline", input=[text, url(png(picture))], **form)
        np.testing.assert_array_equal(
            np.float32(found.data[0].embedding), session.embed_texts([text], batch_size=4)[0]
        )
        np.testing.assert_array_equal(
            np.float32(found.data[1].embedding), session.embed_images([picture], batch_size=4)[0]
        )
    assert found.usage.prompt_tokens == len(session.tokenizer.encode(text, tiny.MAX_TEXT))
    with pytest.raises(openai.BadRequestError, match="16 numbers"):
        ai.embeddings.create(model="sightline", input="x", dimensions=4)


def test_the_extension_brings_maps_and_neighbours(ai, session, bundle):
    body = chat("Describe the image in detail.")
    want = {"spin": {"top_k": 1, "alpha": 0.0, "layers": [1]}, "explanation": True, "retrieval": 3}
    told = ai.chat.completions.create(**body, extra_body={"sightline": want}).sightline
    assert told["silenced_heads"] == pytest.approx(3 / 8)  # 3 of 4 heads in 1 of 2 layers
    grid = session.engine.config["grid"]
    assert all(np.shape(word["map"]) == tuple(grid) for word in told["explanation"])
    assert all(0 <= np.min(word["map"]) <= np.max(word["map"]) <= 1 for word in told["explanation"])
    gallery = ItemIndex(bundle / INDEX, session.engine.search_digest())
    hits = gallery.similar_pictures(session.embed_images(tiny.pictures(1), 4), 3)[0]
    assert [(hit["id"], hit["text"]) for hit in told["retrieved"]] == [(hit.id, hit.text) for hit in hits]
    assert "item-0" not in {hit["id"] for hit in told["retrieved"]}  # the picture that is asked about
    want = {"explanation": "png"}
    told = ai.chat.completions.create(**body, extra_body={"sightline": want}).sightline
    assert told["explanation"][0]["map"].startswith("data:image/png;base64,")


def test_the_question_is_read_beside_what_is_retrieved(ai, session, bundle):
    body, picture = chat("Describe the image in detail."), tiny.pictures(1)
    gallery = ItemIndex(bundle / INDEX, session.engine.search_digest())
    for k in (0, 2, 10):  # of the ten items, one has no picture, one no caption, one is the picture itself
        captions = [hit.text for hit in gallery.similar_pictures(session.embed_images(picture, 4), k)[0]]
        assert len(captions) == min(k, 7)
        told = ai.chat.completions.create(**body, extra_body={"sightline": {"retrieval": k}})
        alone = session.answer(picture, ["Describe the image in detail."], spin=SPIN_OFF, batch_size=4,
                               captions=[captions])[0]  # fmt: skip
        assert told.choices[0].message.content == alone.text
        assert told.sightline["confidence"] == round(alone.confidence, 4)
        assert [hit["text"] for hit in told.sightline.get("retrieved", [])] == captions
    with pytest.raises(openai.BadRequestError, match="less than or equal to 10"):
        ai.chat.completions.create(**body, extra_body={"sightline": {"retrieval": 11}})


def test_the_last_question_about_the_last_picture_counts(ai):
    first, last = chat(picture=0)["messages"], chat("Is there a ring?", picture=1)["messages"]
    turns = [*first, {"role": "assistant", "content": "yes"}, *last]
    asked = ai.chat.completions.create(model="sightline", messages=turns)
    alone = ai.chat.completions.create(**chat("Is there a ring?", picture=1))
    assert asked.choices == alone.choices
    later = [*first, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "Is there a ring?"}]
    alone = ai.chat.completions.create(**chat("Is there a ring?", picture=0))
    assert ai.chat.completions.create(model="sightline", messages=later).choices == alone.choices


@pytest.mark.parametrize(
    "change,word",
    [
        ({"n": 2}, "n: "),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"stop": ["a"]}, "stop"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": [{"role": "user", "content": "no picture"}]}, "image_url"),
        ({"messages": [{"role": "system", "content": "x"}]}, "no user message"),
        ({"extra_body": {"sightline": {"spin": {"keep": 0.5, "top_k": 2}}}}, "exactly one"),
        ({"extra_body": {"sightline": {"spin": {"top_k": 99}}}}, "use 1..4"),
        ({"extra_body": {"sightline": {"unknown": 1}}}, "sightline: Extra inputs"),
    ],
)
def test_what_is_not_offered_is_named(ai, change, word):
    with pytest.raises(openai.BadRequestError, match=word):
        ai.chat.completions.create(**(chat() | change))


def test_another_model_is_not_found(ai):
    with pytest.raises(openai.NotFoundError) as refused:
        ai.chat.completions.create(**(chat() | {"model": "gpt-4o"}))
    assert refused.value.code == "model_not_found" and refused.value.param == "model"
