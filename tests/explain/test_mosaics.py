"""Four photos as one: which ones, and where the one that is asked about lies."""

import json

import numpy as np
from PIL import Image

from sightline.core import artifacts
from sightline_lab.faithfulness import mosaics
from tests.support import tiny


def data(folder, triples):
    """Ten pictures; captions 0, 3, 4, 7 and 8 name a ball, 9 has none."""
    items = tiny.raw(folder / "raw")
    artifacts.write_json(folder / "raw" / "config.json", {"image_side": 64, "source": "scenes"})
    (folder / "vqa").mkdir()
    artifacts.write_json(folder / "vqa" / "config.json", {"objects": {"ball": ["ball"]}})
    lines = [{"type": "color", "question": tiny.QUESTIONS[0], "answer": "red", "object": "ball"} | each
             for each in triples]  # fmt: skip
    (folder / "vqa" / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return items


def located(model, folder, right=lambda *_: True, seed=7):
    return list(mosaics.located_answers(model, folder / "raw", folder / "vqa", "test", right, seed))


def test_the_box_is_the_quarter_of_the_photo_that_is_asked_about(model, tmp_path):
    others = [{"item": item, "type": "existence"} for item in (1, 2, 3, 4, 5, 6)]
    items = data(tmp_path, [{"item": 0}, {"item": 0}, *others])
    (one,), (again,) = located(model, tmp_path), located(model, tmp_path)
    assert one.right and one.box == again.box
    np.testing.assert_array_equal(one.answer.rgb, again.answer.rgb)
    assert one.answer.rgb.shape == (64, 64, 3)

    def tile(number):
        """What the model sees of a picture, 40 x 44: its middle square."""
        square = Image.fromarray(items.image(items[number])[:, 2:42])
        return np.asarray(square.resize((32, 32), Image.Resampling.BICUBIC)).tobytes()

    x0, y0, x1, y1 = one.box
    assert one.answer.rgb[y0:y1, x0:x1].tobytes() == tile(0)
    quarters = {one.answer.rgb[y : y + 32, x : x + 32].tobytes() for y in (0, 32) for x in (0, 32)}
    assert len(quarters) == 4 and quarters - {tile(0)} <= {tile(number) for number in (1, 2, 5, 6)}


def test_too_few_photos_without_the_object_and_wrong_answers_give_no_case(model, tmp_path):
    data(tmp_path, [{"item": 0}, *({"item": item, "type": "existence"} for item in (1, 2, 3, 4))])
    assert located(model, tmp_path) == []
    (tmp_path / "more").mkdir()
    data(tmp_path / "more", [{"item": 0}, *({"item": item, "type": "existence"} for item in (1, 2, 5))])
    assert len(located(model, tmp_path / "more")) == 1
    assert located(model, tmp_path / "more", lambda *_: False) == []


def test_the_place_is_drawn(model, tmp_path):
    others = [{"item": item, "type": "existence"} for item in (1, 2, 5, 6)]
    data(tmp_path, [{"item": 0}, *others])
    assert len({located(model, tmp_path, seed=seed)[0].box for seed in range(8)}) > 1
