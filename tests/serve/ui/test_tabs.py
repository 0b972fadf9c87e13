"""What the page's events do: ask, stream, search, compare, dashboard, and what they say when they cannot."""

import base64
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from sightline.core import artifacts
from sightline.core.params.generation import SPIN_OFF
from sightline.data import images
from sightline.inference.encoding import NO_ANSWERS
from sightline.serve.api_error import ApiError
from sightline.serve.batch_model import Model
from sightline.serve.ui import ask_tab, compare_tab, dashboard_tab, search_tab, svg_charts, ui_layout
from sightline.serve.ui.ui_images import Thumbs, choose, examples, glow
from sightline.serve.ui.ui_style import DARK, LIGHT, css
from sightline_lab.faults import dear_pictures
from tests.support import serving, tiny
from tests.support.indexes import made, opened

QUESTION = "What color is the ball?"


@pytest.fixture
def shown(model, workers):
    url = serving.url(serving.png(tiny.pictures(1)[0]))
    return choose(url, model.session, serving.deployed().limits, workers)


async def collect(parts):
    return [part async for part in parts]


def text_of(html):
    return re.sub(r"<[^>]+>", "", html)


def pixels_of(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))


def test_an_answer_grows_and_ends_as_the_session_answers(at_service, model, shown):
    panels = at_service(lambda service: collect(ask_tab.answer(service, shown, QUESTION, False, 0.5, 0.5)))
    right = model.session.answer([tiny.pictures(1)[0]], [QUESTION], spin=SPIN_OFF)[0]
    said = [text_of(left).removeprefix("Answer").strip() for left, _ in panels[1:-1]]
    assert len(said) == len(right.ids) and said[-1] == right.text
    assert all(later.startswith(earlier) for earlier, later in zip(said, said[1:], strict=False))
    words = re.findall(r'data-share="[^"]*">([^<]+)</button>', panels[-1][0])
    assert words == [word for word, _ in model.session.tokenizer.words(right.ids)]
    assert f"{100 * right.confidence:.0f} %" in panels[-1][0]
    assert {right for _, right in panels} == {ask_tab.NOTHING}


def test_side_by_side_differs_by_the_sliders_alone(at_service, shown):
    def last(keep, alpha):
        return at_service(
            lambda service: collect(ask_tab.answer(service, shown, QUESTION, True, keep, alpha))
        )[-1]

    left, right = last(1.0, 1.0)
    assert "SPIN off" in left and "SPIN on, keep 1, alpha 1" in right
    assert re.findall(r'data-map="([^"]+)"', left) == re.findall(r'data-map="([^"]+)"', right)
    gated = last(0.25, 0.0)[1]
    assert "keep 0.25, alpha 0" in gated and "75 % of the heads were damped" in gated


def test_every_word_brings_a_map_and_one_is_shown_first(at_service, shown):
    left, _ = at_service(lambda service: collect(ask_tab.answer(service, shown, QUESTION, False, 0.5, 0.5)))[
        -1
    ]
    maps = re.findall(r'data-map="([^"]+)"', left)
    assert maps and all(pixels_of(url).shape == (40, 40, 4) for url in maps)
    assert left.count("data-first") == 1
    spans = re.findall(r"<span>([^<]+)</span>", left.split("<q>")[1])
    scores = [row.split() for row in re.findall(r'data-scores="([^"]+)"', left)]
    assert all(len(row) == len(spans) for row in scores)
    assert all(abs(sum(map(float, row)) - 1) < 0.02 for row in scores)


def test_a_map_glows_where_it_is_strong():
    patch_map = np.zeros((4, 4))
    patch_map[0, 0] = 1.0
    pixels = pixels_of(glow(patch_map))
    assert pixels[2, 2, 3] > 200 and pixels[-1, -1, 3] == 0
    assert pixels[2, 2, :3].sum() > pixels[-1, -1, :3].sum()


def test_what_cannot_be_asked_is_said(at_service, shown):
    nothing = at_service(lambda service: collect(ask_tab.answer(service, None, QUESTION, True, 0.5, 0.5)))
    assert nothing == [(ask_tab.message(ask_tab.NO_PICTURE, "bad"), ask_tab.NOTHING)]
    empty = at_service(lambda service: collect(ask_tab.answer(service, shown, "  ", False, 0.5, 0.5)))
    assert "Type a question" in empty[0][0]


def test_a_late_answer_is_a_message(at_service, shown, monkeypatch):
    monkeypatch.setattr(ask_tab, "deadline", lambda service: 0.0)
    panels = at_service(lambda service: collect(ask_tab.answer(service, shown, QUESTION, False, 0.5, 0.5)))
    assert "No answer: no answer within" in panels[-1][0]


def test_strange_pictures_and_doubt_are_told():
    told = {"confidence": 0.5, "sure": False, "out_of_domain": True, "question_out_of_domain": False}
    said = ask_tab.trust(told)
    assert ask_tab.UNLIKE in said and "not sure" in said and "50 %" in said
    assert ask_tab.UNLIKE_QUESTION not in said
    assert ask_tab.UNLIKE_QUESTION in ask_tab.trust(told | {"question_out_of_domain": True})
    fine = ask_tab.trust(told | {"sure": True, "out_of_domain": False})
    assert ask_tab.UNLIKE not in fine and ">sure<" in fine
    assert "sl-badge" not in ask_tab.trust(told | {"sure": None})


def test_text_from_people_and_from_the_model_is_escaped(at_service):
    evil = "<img src=x onerror=alert(1)>"
    assert "<img" not in ask_tab.message(evil) and "<img" not in ask_tab.waiting(evil, evil)
    assert "<img" not in ui_layout.chips([evil])
    assert "<img" not in search_tab.marked(evil, {"img"}).replace("<mark>", "")
    hit = {"id": '"><script>', "score": 0.5, "text": evil, "from": evil}
    drawn = search_tab.card(1, hit, None, set())
    assert "<script" not in drawn and "<img" not in drawn


def test_pictures_lose_everything_but_pixels(model, workers):
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "secret place", 6  # description; stored lying on its side
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(file, "JPEG", exif=exif)
    found = choose(serving.url(file.getvalue(), "jpeg"), model.session, serving.deployed().limits, workers)
    assert (found.picture.height, found.picture.width) == (300, 200)  # set upright
    data = base64.b64decode(found.view.split(",")[1])
    assert b"secret" not in data and b"Exif" not in data


@pytest.mark.parametrize(
    "url, says",
    [
        ("", "fetches no pictures"),
        ("https://example.org/a.png", "fetches no pictures"),
        ("data:image/png;base64,!!!", "no base64"),
        (serving.url(b"hello"), "not one of"),
        (serving.url(serving.png(tiny.pictures(1)[0])[:200]), "refused"),
        (serving.url(b"x" * (9 << 20)), "are taken"),
        (serving.url(dear_pictures.gif_of_comments(6 << 20)), "refused (too_dear)"),
    ],
)
def test_bad_pictures_give_a_message(at_service, url, says):
    shown, said = at_service(lambda service: ui_layout.take(service, url, None))
    assert shown is None and says in said and 'class="sl-msg bad"' in said


def test_the_browsers_own_refusal_is_shown(at_service):
    assert "9.0 MB" in at_service(lambda service: ui_layout.take(service, None, "This file has 9.0 MB"))[1]


def test_examples_are_pictures_with_their_questions(bundle, tmp_path):
    found = examples(bundle)
    assert found and all(example.url.startswith("data:image/png") for example in found)
    assert all(pixels_of(example.view).shape == (512, 512, 3) for example in found)
    assert ui_layout.suggestions(found, 0) == list(found[0].questions)
    assert len(ui_layout.suggestions(found)) <= ui_layout.CHIPS and examples(tmp_path) == []


def test_an_example_is_displayed_for_people_and_read_by_the_model_as_it_ships(
    at_service, bundle, model, workers
):
    example = examples(bundle)[0]
    displayed, said = at_service(lambda service: ui_layout.take(service, example.url, None, example.view))
    assert said == ask_tab.NOTHING and displayed.view == example.view and not displayed.small
    expected = choose(example.url, model.session, serving.deployed().limits, workers)
    np.testing.assert_array_equal(displayed.picture.pixels_CYX, expected.picture.pixels_CYX)
    assert displayed.visible_part == expected.visible_part


def test_words_find_items_and_the_shared_words_are_marked(at_service, bundle, checkout, model):
    thumbs = Thumbs(bundle, checkout)
    html = at_service(lambda service: search_tab.by_words(service, thumbs, "red balls"))
    ids = re.findall(r'data-id="([^"]+)"', html)
    wanted = model.index.item_index().search(
        model.session.embed_texts(["red balls"], 4), search_tab.RESULTS, "fused"
    )
    assert ids == [hit.id for hit in wanted[0]]
    assert "<mark>red</mark> <mark>ball</mark>" in html and "<mark>a</mark>" not in html


def test_pictures_of_results_come_from_the_index_or_else_from_the_checkout(bundle, checkout, model, tmp_path):
    index = model.index.item_index()
    thumbs = Thumbs(bundle, checkout)
    assert pixels_of(thumbs.get(index, "item-0")).shape == (256, 256, 3)  # drawn again from its description
    assert thumbs.get(index, "item-8") is None  # has no picture
    assert thumbs.get(index, "../item") is None
    alone = Thumbs(bundle, None)
    assert not alone.any(index) and alone.get(index, "item-0") is None
    own = opened(made(["item-0", "item-1"]), tmp_path / "own")
    assert alone.any(own) and alone.get(own, "item-0") is None
    assert alone.get(own, "item-1") == images.data_url(b"JPEG of item-1", "jpeg")


def test_other_datas_pictures_are_not_taken(bundle, model, tmp_path):
    tiny.raw(tmp_path / "data" / "raw")
    (tmp_path / "data" / "raw" / "config.json").write_text('{"source": "flickr8k"}')
    assert not Thumbs(bundle, tmp_path).any(model.index.item_index())


def test_a_picture_finds_itself_and_names_words(at_service, bundle, checkout, shown):
    html = at_service(lambda service: search_tab.by_picture(service, Thumbs(bundle, checkout), shown))
    near = re.search(r"close to the words: ([^<]+)</h3>", html)[1].split(", ")
    assert len(near) == search_tab.NEAREST and set(near) <= set(" ".join(tiny.CAPTIONS).split()) | set(
        "0123456789"
    )
    assert html.count("<article") == 10


def test_more_like_this_leaves_the_item_out(at_service, bundle, checkout):
    thumbs = Thumbs(bundle, checkout)
    html = at_service(lambda service: search_tab.like(service, thumbs, "item-1"))
    assert 'data-id="item-1"' not in html and html.count("<article") == 9
    assert "No results" in at_service(lambda service: search_tab.like(service, thumbs, "nobody"))


def test_an_empty_query_is_answered(at_service, bundle):
    assert "Type what you look for" in at_service(
        lambda service: search_tab.by_words(service, Thumbs(bundle, None), " ")
    )
    assert "see the pictures" in " ".join(search_tab.start_text("0 items", False).split())


def test_variants_answer_side_by_side(at_service, checkout, shown, model):
    html = at_service(
        lambda service: compare_tab.table(service, compare_tab.Variants(checkout), shown, QUESTION)
    )
    right = model.session.answer([tiny.pictures(1)[0]], [QUESTION], spin=SPIN_OFF)[0]
    assert html.count("<article") == 1 and "fp32" in html and "All variants say the same" in html
    assert right.text in html and re.search(r"\d+\.\d MB", html) and re.search(r"\d+\.\d ms", html)


def test_absent_or_damaged_variants_are_said(at_service, checkout, shown, tmp_path):
    nowhere = compare_tab.Variants(None)
    assert "dvc repro" in at_service(lambda service: compare_tab.table(service, nowhere, shown, QUESTION))
    shutil.copytree(checkout / "models", tmp_path / "models")
    (tmp_path / "models" / "onnx" / "fp32" / "decoder.onnx").write_bytes(b"no")
    broken = compare_tab.Variants(tmp_path)
    assert "cannot be read" in at_service(lambda service: compare_tab.table(service, broken, shown, QUESTION))


def test_the_dashboard_shows_files_and_says_what_is_absent(checkout, tmp_path):
    html = dashboard_tab.draw(checkout)
    assert "6.9<small>5.4 to 8.4</small>" in html and '<td class="bad">+1.3</td>' in html
    assert (
        '<td class="good">+1.2</td>' in html and "11.1" not in html
    )  # more right is better; adversarial only
    assert "Not here yet: metrics/summary.json" in html and "metrics/cost.json" in html
    assert html.count("<svg") == 3 and "plots/align has no loss" in html
    assert "94.4<small>90.0 to 97.0</small>" in html
    assert html.index("cross attention<small>500") < html.index("random<small>500")  # the best first
    nothing = dashboard_tab.draw(tmp_path)
    assert "metrics/faithfulness.json. `sightline lab faithfulness` writes it" in nothing
    assert nothing.count("Not here yet") == 8 and "run `sightline serve`" in dashboard_tab.draw(None)


def test_the_dashboard_shows_the_gate_and_only_what_was_measured(tmp_path):
    quality = {"image_to_text_r1": {"value": 66.7}}
    summary = {"answers": {}, "cost": {"shipped": {"bytes": 4e5}}, "shipped_variant": "int4"}
    (tmp_path / "metrics" / "gate").mkdir(parents=True)
    artifacts.write_json(
        tmp_path / "metrics" / "summary.json", summary | {"quality": {"shipped": {"test": quality}}}
    )
    check = {"figure": "chair_i loss", "value": 3.0, "side": "at most", "limit": 1.5, "n": 12, "needed": 200}
    checks = [
        check | {"passed": None},
        check | {"figure": "parity", "value": None, "passed": None, "note": "it only searches"},
        check | {"figure": "r1", "passed": False},
    ]
    artifacts.write_json(tmp_path / "metrics" / "gate" / "gate.json", {"passed": False, "checks": checks})
    html = dashboard_tab.draw(tmp_path)
    assert "66.7 %" in html and "short answers right" not in html and "are not there" not in html
    assert "chair_i loss<small>n = 12, 200 needed</small>" in html
    assert "parity<small>it only searches</small>" in html
    assert html.count("not tested") == 2 and '<td class="bad">failed</td>' in html


def test_a_model_without_answers_has_a_page_that_says_so(tmp_path, tiny_graphs):
    bundle = serving.build_searching_bundle(tmp_path, tiny_graphs)
    page = ui_layout.build(
        lambda: None, Model.load(bundle, 4), serving.deployed(batch=4).limits, bundle, None, False
    )
    values = [str(block.value) for block in page.blocks.values() if hasattr(block, "value")]
    assert sum(NO_ANSWERS in value for value in values) == 2  # in place of Ask and Compare


def test_a_chart_places_its_points():
    svg = svg_charts.lines({"a": [(0, 0), (10, 100)]}, "x", "y")
    left, right = svg_charts.LEFT, svg_charts.WIDTH - svg_charts.RIGHT
    low, high = svg_charts.HEIGHT - svg_charts.BOTTOM, svg_charts.TOP
    assert f"M{left:.1f},{low:.1f}L{right:.1f},{high:.1f}" in svg
    assert "NaN" not in svg_charts.lines({"one": [(3, 3)]}, "x", "y")


def test_the_colours_are_the_explanation_pages():
    assert LIGHT["accent"] == "#6c3ce0" and DARK["paper"] == "#0e1118"
    assert "--sl-accent:#6c3ce0" in css() and not re.search(r"url\(|@import|https?:", css())


def test_a_large_photo_is_shown_small(model, workers):
    rgb = np.zeros((900, 1200, 3), np.uint8)
    shown = choose(images.picture_url(rgb), model.session, serving.deployed().limits, workers)
    assert pixels_of(shown.view).shape == (480, 640, 3) and not shown.small
    assert shown.visible_part == "left:12.50%;top:0.00%;width:75.00%;height:100.00%"
    with pytest.raises(ApiError):
        choose(
            serving.url(images.encode(np.zeros((4000, 4000, 3), np.uint8))[0]),
            {},
            serving.deployed().limits,
            workers,
        )
