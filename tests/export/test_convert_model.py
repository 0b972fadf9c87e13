"""Models of transformers as bundles: every family against transformers itself, SPIN, int8 and int4, the
recipe of the guide, and what is refused."""

import re
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
import torch
from PIL import Image

from sightline import spin
from sightline.core.params.generation import Spin
from sightline.data import images
from sightline.export import convert_model
from sightline.inference import chat_prompt, execution_provider, image_text_model, transformers_model
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.encoding import SessionError
from sightline.inference.session import Session
from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from tests.support import vision_models
from tests.support.serving import deployed, running

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "convert.md"
HALF = Spin(keep=0.5, top_k=None, alpha=0.5, layers=(0, 1), score="mass")
QUESTION = "Is there a ball?"
TOKENS = 6
SCALE = 1.0  # of the random weights: larger ones make float32 differ by more than 1e-4


def pictures(count: int, side: int = 8) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return list(draw.integers(0, 256, (count, side, side, 3), dtype=np.uint8))


class Converted:
    """A tiny model of a family, opened, converted, and the bundle as a session."""

    def __init__(self, root: Path, family: str, precision: str) -> None:
        folder = vision_models.save(root / "model", family, scale=SCALE)
        self.loaded = transformers_model.load(str(folder), None, torch.float32)
        self.opened = image_text_model.open_model(self.loaded, None, 24, TOKENS)
        self.bundle = root / "bundle"
        self.figures = convert_model.convert(
            self.loaded, self.opened, family, precision, pictures(4), self.bundle
        )
        self.session = Session.load(self.bundle)


CASES = [("llava", "int4"), ("idefics3", "int8"), ("qwen2_vl", "fp32")]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0])
def model(request, tmp_path_factory):
    return Converted(tmp_path_factory.mktemp(request.param[0]), *request.param)


def test_it_answers_as_transformers_does(model):
    """Logits along the greedy answers of `generate`, which runs with the attention of transformers."""
    figures = model.figures
    assert figures["transformers_answers"] == 4 and figures["transformers_answers_different"] == 0
    assert 0 < figures["transformers_max_logit_difference"] <= 1e-4
    assert figures["max_logit_difference"] <= 1e-4 and figures["max_logit_difference_spin"] <= 1e-4
    assert figures["gates_different"] == 0 and figures["max_embedding_difference"] is None
    assert not model.session.searches and model.session.answers


def test_a_row_answers_as_alone_and_by_the_picture(model):
    """Through the bundle, padded to the longest question, in a batch."""
    shown, session = pictures(5), model.session
    together = session.answer(shown, [QUESTION] * 5, batch_size=5)
    alone = [session.answer([picture], [QUESTION])[0] for picture in shown]
    assert [answer.ids for answer in together] == [answer.ids for answer in alone]
    assert len({answer.probability for answer in alone}) == 5


def test_a_question_is_cut_to_the_prompt_s_room(model):
    session = model.session
    room, prompt = session.settings.max_question, session.settings.prompt
    long = "Is there a ball? " * 40
    ids_1S, mask_1S = session.question_ids([long])
    assert ids_1S.shape == (1, room) and mask_1S.all() and session.question_is_cut(long)
    assert ids_1S[0, : len(prompt.before)].tolist() == list(prompt.before)
    assert not session.question_is_cut(QUESTION)
    assert session.answer(pictures(1), [long])[0].text is not None


def test_it_only_answers(model):
    with pytest.raises(SessionError, match="answers only"):
        model.session.embed_images(pictures(1))
    with pytest.raises(SessionError, match="answers only"):
        model.session.embed_texts(["a ball"])


def test_all_heads_kept_change_no_bit_and_half_of_them_are_gated(model):
    session, generation = model.session, greedy_generation(TOKENS)
    everything = Spin(keep=1.0, top_k=None, alpha=0.0, layers=(0, 1), score="mass")
    plain, kept, gated = (
        session.answer(pictures(2), [QUESTION] * 2, generation, each, need_maps=True)
        for each in (None, everything, HALF)
    )
    assert [(it.ids, it.probability) for it in plain] == [(it.ids, it.probability) for it in kept]
    patches = int(np.prod(session.engine.config["grid"]))
    written = [answer for answer in gated if answer.ids]
    assert len(written) > 0
    for answer in written:
        assert (answer.gates_LHT == 0.5).mean() == 0.5
        assert (answer.maps_LHTM[..., :patches].sum(-1) > 0).all()


@pytest.mark.parametrize("family", ["llava", "idefics3", "qwen2_vl"])
def test_the_gate_is_that_of_spin_on_the_stock_model(family, tmp_path):
    """Half of the heads gated, here and by `spin.suppressed`, which gates the query that writes a token."""
    folder = vision_models.save(tmp_path, family, scale=SCALE)
    loaded = transformers_model.load(str(folder), None, torch.float32)
    session = image_text_model.open_model(loaded, None, 24, TOKENS).session()
    (picture,) = pictures(1)
    inputs = loaded.processor(
        text=[chat_prompt.templated(loaded.processor, QUESTION)], images=[[Image.fromarray(picture)]],
        return_tensors="pt",
    )  # fmt: skip
    with image_text_model.stock_attention(loaded.model), torch.no_grad():
        with spin.suppressed(loaded.model, keep=0.5, alpha=0.5):
            theirs_V = loaded.model(**inputs).logits[0, -1].numpy()
    ids, mask = session.question_ids([QUESTION])
    memory = session.memory(session.image_tokens(session.pixels([picture])), ids, mask, [()])
    k_L, alpha = session.heads_kept(HALF)
    step = session.engine.step(np.array([[session.start]]), None, memory, k_L, alpha, True)
    ours_V = step.logits_BTV[0, 0]
    np.testing.assert_allclose(ours_V, theirs_V[: len(ours_V)], atol=1e-4)


def test_the_recipe_of_the_guide_runs_with_onnx_runtime_alone(model, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    assert "sightline" not in code.replace("models/smolvlm", "") and "torch" not in code
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "smolvlm").symlink_to(model.bundle)
    picture = pictures(1, 21)[0]
    Image.fromarray(picture).save(tmp_path / "photo.png")
    exec(compile(code.replace("photo.jpg", "photo.png"), str(GUIDE), "exec"), {"__name__": "recipe"})
    (answer,) = model.session.answer([picture], ["What is in the picture?"], greedy_generation(TOKENS))
    assert capsys.readouterr().out.strip() == answer.text


def test_a_model_whose_picture_is_no_part_of_the_prompt_is_refused(tmp_path):
    loaded = transformers_model.load(str(vision_models.save(tmp_path, "mllama")), None, torch.float32)
    with pytest.raises(ValueError, match="mllama, whose picture comes by cross-attention; .* by its answers"):
        image_text_model.open_model(loaded, None, 24, TOKENS)


def test_a_prompt_that_does_not_open_the_answer_is_refused(tmp_path):
    folder = vision_models.save(tmp_path, "llava", chat=False)
    loaded = transformers_model.load(str(folder), None, torch.float32)
    with pytest.raises(ValueError, match="ends with the question: .* chat template"):
        image_text_model.open_model(loaded, None, 24, TOKENS)


def test_lengths_and_sizes_that_the_model_does_not_have_are_refused(tmp_path):
    folder = vision_models.save(tmp_path, "llava")
    loaded = transformers_model.load(str(folder), None, torch.float32)
    with pytest.raises(ValueError, match="reads 2048 tokens at once, .* --answer-tokens"):
        image_text_model.open_model(loaded, None, 24, 4000)
    with pytest.raises(ValueError, match="--image-size 16: this model reads pictures of 8 pixels"):
        image_text_model.open_model(loaded, 16, 24, TOKENS)


def test_the_server_answers_with_it_and_says_that_it_does_not_search(model):
    """Greedily as in process; no verdict on pictures, which it has no others to compare with."""
    picture = pictures(1)[0]
    url = images.data_url(images.encode(picture)[0], "png")
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "sightline", "temperature": 0, "messages": [{"role": "user", "content": content}]}
    loaded = Model.load(model.bundle, 1)
    assert loaded.provider == execution_provider.chosen()
    with running(create_app(loaded, deployed(batch=1))) as address:
        done = httpx.post(f"{address}/v1/chat/completions", json=body | {"max_tokens": TOKENS})
        assert done.status_code == 200, done.text
        refused = httpx.post(f"{address}/v1/embeddings", json={"model": "sightline", "input": "a ball"})
        assert httpx.get(f"{address}/metrics").status_code == 200
    (answer,) = model.session.answer([picture], [QUESTION], greedy_generation(TOKENS))
    assert done.json()["choices"][0]["message"]["content"] == answer.text
    assert done.json()["sightline"]["out_of_domain"] is None
    assert refused.status_code == 404 and "answers only" in refused.json()["error"]["message"]
