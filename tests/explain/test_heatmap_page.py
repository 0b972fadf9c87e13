"""The pictures and the page: same bytes again, offline, and every text shown as text."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.core.params.generation import Spin
from sightline.core.preprocessing import Preprocessing
from sightline.explain import explain_items, explained_items, heatmap_figures
from sightline.explain.explained_items import Item
from sightline.explain.heatmap import Explanation, Heatmap, on_picture

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'&amp; $x^2$ javascript:alert(3)"
SEEN = Preprocessing.plain(24, [0.5] * 3, [0.25] * 3).seen(24, 32)
ON = Spin(keep=0.5, alpha=0.25, layers=(0,))


def explanation(words, seed=0):
    rng = np.random.default_rng(seed)
    maps = rng.random((len(words), 3, 3))
    heats = [
        Heatmap(
            patch,
            on_picture(patch, SEEN),
            [("is", 0.25), (EVIL, 0.75)],
            {"method": "m", "word": word, "image_share": 0.5},
            patch,
            SEEN,
        )
        for patch, word in zip(maps, words, strict=True)
    ]
    return Explanation("Is?", " ".join(words), 0.75, heats, np.array([[0.0, 1.0], [0.5, 0.25]]))


def chosen():
    rgb = np.random.default_rng(1).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    return [
        Item(
            "item00_describe",
            rgb,
            rgb,
            "describe",
            EVIL,
            EVIL,
            [("cube", (2, 2, 9, 9)), (EVIL, (10, 10, 20, 20))],
        ),
        Item("item01_color", rgb, rgb, "color", "What color is it?", "red", []),
        Item("item02_count", rgb, rgb, "count", "How many?", "2", []),
    ]


def explain(item, spin):
    words = {"describe": ["a", EVIL, "cube", "near", "it"] * 3, "color": ["red"], "count": []}[item.type]
    return explanation(words, seed=int(spin.keep * 10))


def write(out: Path):
    explain_items.run(chosen(), explain, lambda truth, answer: truth == answer, ON, "magma", out)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write(tmp_path_factory.mktemp("explained"))


def test_stable_names_and_bytes(written, tmp_path):
    assert list(written) == [
        "explanations.json",
        "index.html",
        "pictures/item00_describe.png",
        "pictures/item01_color.png",
        "pictures/item02_count.png",
        "pictures/silenced_heads.png",
        "pictures/spin_off_on.png",
        "pictures/words_by_patches.png",
    ]
    assert write(tmp_path) == written


def test_pictures_carry_no_metadata(written):
    pictures = [data for name, data in written.items() if name.endswith(".png")]
    assert pictures
    for data in pictures:
        assert b"tEXt" not in data and b"tIME" not in data and b"Matplotlib" not in data


def test_the_overlay_changes_where_the_map_is(tmp_path):
    item = chosen()[1]
    bright, dark = explanation(["red"]), explanation(["red"])
    dark.words[0].patch_map[:] = 0
    dark.words[0].pixel_map[:] = 0
    pixels = []
    for name, found in (("bright", bright), ("dark", dark)):
        heatmap_figures.item(tmp_path / f"{name}.png", item, found, True, "magma")
        pixels.append(np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int))
    changed = np.abs(pixels[0] - pixels[1]).sum(axis=2) > 0
    assert 0.05 < changed.mean() < 0.5


def test_a_finer_picture_for_people_keeps_boxes_and_maps_in_place(tmp_path, written):
    """The same picture with eight times the pixels gives the same figure and page, but for its own pixels."""
    items = [replace(item, displayed=item.rgb.repeat(8, axis=0).repeat(8, axis=1)) for item in chosen()]
    explain_items.run(items, explain, lambda truth, answer: truth == answer, ON, "magma", tmp_path)
    for name in ("item00_describe", "item01_color", "spin_off_on"):
        path = f"pictures/{name}.png"
        pair = [Image.open(io.BytesIO(written[path])), Image.open(tmp_path / path)]
        coarse, fine = (np.asarray(image.convert("RGB")).astype(int) for image in pair)
        assert np.abs(coarse - fine).mean() < 3  # of 255: pixels of noise end half a screen pixel elsewhere
    page, coarse_page = (tmp_path / "index.html").read_text(), written["index.html"].decode()
    style = re.compile(r'class="(?:box|box top|heat)" style="([^"]+)"')
    assert style.findall(page) == style.findall(coarse_page) and len(style.findall(page)) > 3
    assert page.count('src="data:image/jpeg') == 3 and 'class="base small"' not in page


def test_the_name_of_a_box_at_the_upper_edge_is_below_it(written, tmp_path):
    """Above the box the border of the picture would cut it off. The picture has 24 rows."""
    items = [replace(item, boxes=[("edge", (2, 1, 9, 9)), ("free", (2, 3, 9, 9))]) for item in chosen()[:1]]
    explain_items.run(items, explain, lambda truth, answer: truth == answer, ON, "magma", tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert re.findall(r'class="(box[ a-z]*)" style="[^"]+"><b>(\w+)</b>', page) == [
        ("box top", "edge"),
        ("box", "free"),
    ]


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_offline(written):
    page = written["index.html"].decode()
    assert not re.search(r"https?:|url\(|@import|[\"'(]//", page)
    elements = Elements()
    elements.feed(page)
    for _, attributes in elements.found:
        for key in ("src", "href", "data-map"):
            assert attributes.get(key, "data:").startswith("data:image/png;base64,") or key not in attributes
    policy = next(a["content"] for t, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_markup_is_shown_as_text(written):
    elements = Elements()
    elements.feed(written["index.html"].decode())
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert not [attributes for _, attributes in elements.found if "onerror" in attributes]
    ours = "html head meta title style body header h1 h2 p div button span i main article img b section table"
    allowed = {*ours.split(), "tr", "th", "td", "footer", "code", "script"}
    assert {tag for tag, _ in elements.found} <= allowed
    assert any("alert(1)" in text for text in elements.text)


def test_the_page_has_both_spin_settings_and_every_word(written):
    elements = Elements()
    elements.feed(written["index.html"].decode())
    assert sum(tag == "article" for tag, _ in elements.found) == 3
    assert sum("data-map" in attributes for _, attributes in elements.found) == 2 * (15 + 1)
    assert [a["data-view"] for t, a in elements.found if t == "div" and "data-view" in a] == ["0", "1"] * 3
    assert sum("data-first" in attributes for _, attributes in elements.found) == 4
    assert "keep 0.5, alpha 0.25, layers [0]" in written["index.html"].decode()


def test_explanations_are_data_too(written):
    told = json.loads(written["explanations.json"])
    assert [item["name"] for item in told["items"]] == ["item00_describe", "item01_color", "item02_count"]
    assert told["items"][1]["spin_on"]["answer"] == "red"
    assert np.shape(told["items"][0]["spin_off"]["words"][0]["patch_map"]) == (3, 3)


def test_an_unknown_colormap_is_refused(tmp_path):
    with pytest.raises(ValueError, match="explain.colormap is 'rainbows'"):
        explain_items.run(chosen(), explain, str.__eq__, ON, "rainbows", tmp_path)


def test_a_strip_keeps_content_words_in_reading_order():
    words = [
        "the",
        "red",
        "cube",
        "is",
        "above",
        "a",
        "ball",
        "and",
        "one",
        "two",
        "three",
        "four",
        "five",
    ]
    shown = [heat.provenance["word"] for heat in heatmap_figures.strip(explanation(words).words)]
    assert len(shown) == len(set(shown)) == 9
    assert set(shown) <= set(words) - {"the", "is", "a", "and"}
    assert shown == sorted(shown, key=words.index)


@pytest.mark.parametrize(
    ("text", "kind", "named"),
    [
        ("Is there a cube?", "cube", True),
        ("two cubes.", "cube", True),
        ("cubed", "cube", False),
        ("a block", "cube", True),
        ("boxes", "box", True),
    ],
)
def test_boxes_are_of_the_objects_that_the_text_names(text, kind, named):
    assert explained_items.names(text, kind, {"cube": ["block"]}) is named
