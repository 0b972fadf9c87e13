"""The white-box part of an audit: interventions with controls, attention, maps."""

import json

import numpy as np
import pytest

from sightline.audit import open_model, probes, scene_items, white_box, white_box_page
from sightline.audit.answerer import Identity
from sightline.audit.white_box import INTERVENTIONS, KEEPS, METHODS, NONE
from sightline.core.params.generation import SPIN_OFF
from tests.support import vision_models
from tests.support.command_line import run

TOKENS = 3
ITEMS = scene_items.draw(2, 0)
BOXES = {picture.digest: found for picture, found in zip(ITEMS.pictures, ITEMS.boxes, strict=True)}
WHO = Identity(form="transformers", name="tiny", version="")


def opened(folder, family):
    return open_model.of_transformers(str(vision_models.save(folder, family)), None, WHO, TOKENS)


def values(made, intervention, metric):
    return [each for each in made.interventions if (each.intervention, each.metric) == (intervention, metric)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("white")
    model = opened(folder / "model", "llava")
    audit = probes.audit(ITEMS)
    return folder, model, audit, white_box.run(audit, BOXES, model, folder, TOKENS)


def test_every_intervention_is_compared_with_the_model_as_it_is(measured):
    _, _, _, made = measured
    names = {each.intervention for each in made.interventions}
    assert (
        names == {NONE.name, *(it.name for it in INTERVENTIONS)} and len(INTERVENTIONS) == 3 * len(KEEPS) + 2
    )
    for each in made.interventions:
        assert each.low <= each.value <= each.high and each.change_low <= each.change <= each.change_high
        (own,) = values(made, NONE.name, each.metric)
        assert each.change == pytest.approx(each.value - own.value, abs=2e-3) and each.n == own.n
    assert {each.part for each in made.interventions} == {"existence", "descriptions"}
    assert not made.left_out


def test_interventions_and_controls_change_answers_in_different_ways(measured):
    folder, *_ = measured
    lines = (folder / "white-box" / "answers.jsonl").read_text().splitlines()[1:]
    texts = {}
    for entry in map(json.loads, lines):
        name, _, key = entry["key"].rpartition(": ")
        texts.setdefault(name, {})[key] = entry["reply"]["text"]
    half = [texts[f"{rule}, keep 0.5"] for rule in ("SPIN", "random heads", "inverse")]
    assert all(found != texts[NONE.name] for found in half)
    assert half[0] != half[1] and half[1] != half[2] and half[0] != half[2]
    assert texts["VCD"] != texts[NONE.name] and texts["PAI"] != texts[NONE.name]


def test_the_atlas_is_each_head_s_attention_on_the_picture(measured):
    """Against the maps of single answers, asked one by one."""
    _, model, audit, made = measured
    atlas_LH = np.array(made.atlas)
    config = model.session.engine.config
    assert atlas_LH.shape == (config["layers"], config["heads"])
    assert (atlas_LH > 0).all() and (atlas_LH < 1).all() and len(np.unique(atlas_LH)) > 4
    polls = {
        (question.shown, question.text)
        for question in audit.asked.questions
        if question.type.startswith("pope_") and question.probe == "plain"
    }  # fmt: skip
    from sightline.data import images

    shown = {picture.digest: images.decode(picture.data, 10**6) for picture in audit.pictures}
    generation = model.session.settings.generation.greedy().replaced(max_tokens=TOKENS)
    patches, shares = int(np.prod(config["grid"])), []
    for digest, text in sorted(polls):
        (answer,) = model.session.answer([shown[digest]], [text], generation, SPIN_OFF, need_maps=True)
        if answer.maps_LHTM is not None:
            shares.append(answer.maps_LHTM[..., :patches].sum(-1).mean(-1))
    np.testing.assert_allclose(np.mean(shares, axis=0), atlas_LH, atol=1e-3)


def test_maps_are_judged_by_boxes_and_by_what_taking_pixels_away_does(measured):
    _, _, _, made = measured
    assert [each.method for each in made.maps] == list(METHODS)
    assert len({each.n for each in made.maps}) == len({each.chance for each in made.maps}) == 1
    for each in made.maps:
        assert each.n > 2 and 0 < each.chance < 100
        assert each.pointing_low <= each.pointing <= each.pointing_high
        assert 0 < each.deletion_low <= each.deletion <= each.deletion_high
        assert 0 < each.insertion_low <= each.insertion <= each.insertion_high
    assert len({(each.deletion, each.insertion) for each in made.maps}) > 1


def test_it_goes_on_where_it_was_ended_and_asks_nothing_again(measured, monkeypatch):
    folder, model, audit, made = measured
    path = folder / "white-box" / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    asked = []
    original = white_box._texts
    monkeypatch.setattr(white_box, "_texts", lambda *call: asked.extend(call[2]) or original(*call))
    monkeypatch.setattr(white_box, "METHODS", ("random",))
    again = white_box.run(audit, BOXES, model, folder, TOKENS)
    assert again.interventions == made.interventions and again.atlas == made.atlas
    total = len(whole.splitlines()) - 1
    assert 0 < len(asked) < total / 2


def test_a_bundle_has_the_published_rule_and_no_gradients(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(white_box, "METHODS", ("cross_attention", "grad_cam"))
    made = white_box.run(probes.audit(ITEMS), BOXES, open_model.of_bundle(bundle), tmp_path, TOKENS)
    names = {each.intervention for each in made.interventions}
    assert names == {NONE.name, "VCD", *(f"SPIN, keep {keep}" for keep in KEEPS)}
    assert [each.method for each in made.maps] == ["cross_attention"]
    assert sum("published rule" in line for line in made.left_out) == 2 * len(KEEPS) + 1
    assert any("gradients need the PyTorch model" in line for line in made.left_out)
    white_box_page.write(tmp_path / "page.html", made)
    page = (tmp_path / "page.html").read_text()
    assert "Attention on the picture" in page and "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize("family", ["idefics3", "qwen2_vl"])
def test_other_families_are_opened_too(family, tmp_path):
    model = opened(tmp_path / "model", family)
    request = probes.audit(ITEMS).requests(TOKENS)[0]
    found = {}
    for it in (NONE, *INTERVENTIONS[6:]):
        ((_, found[it.name]),) = white_box._texts(model, it, [request])
    assert len(set(found.values())) > 1


def test_a_model_that_reads_its_picture_by_cross_attention_is_refused_before_anything_is_asked(tmp_path):
    vision_models.save(tmp_path / "tiny-mllama", "mllama")
    words = ("audit", "tiny-mllama", "--items", 2, "--answer-tokens", 3, "--white-box", "-o", "out")
    done = run(tmp_path, *words, code=2)
    assert "whose picture comes by cross-attention" in done.stderr and not (tmp_path / "out").exists()


def test_an_endpoint_cannot_be_opened(tmp_path):
    words = ("audit", "--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--white-box", "-o", "out")
    assert "--white-box opens a local MODEL" in run(tmp_path, *words, code=2).stderr
