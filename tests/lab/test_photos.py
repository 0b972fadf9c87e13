"""Photos that anybody may use: a page and a picture about them, from a model that is not asked to be good."""

import numpy as np
from PIL import Image

from sightline.core import artifacts
from sightline.core.params.generation import SPIN_OFF
from sightline.explain.target import ExplainedModel
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.session import Session
from sightline_lab.photos import photo_examples
from sightline_lab.photos.photo_examples import PHOTOS, load


def test_the_photos_are_colour_pictures_of_the_installed_package():
    for photo in PHOTOS:
        rgb = load(photo)
        assert rgb.dtype == np.uint8 and rgb.shape[2] == 3 and min(rgb.shape[:2]) >= 256
        assert photo.licence in ("CC0", "public domain") and photo.author


def test_every_photo_is_named_with_its_licence_beside_what_the_model_says(bundle, tmp_path):
    model = ExplainedModel(Session.load(bundle), SPIN_OFF)
    domain = OODDetector.load(bundle)
    for place in ("one", "two"):
        photo_examples.run(tmp_path / place, model, domain, "cross_attention", "magma")
    result = artifacts.read_json(tmp_path / "one" / photo_examples.RESULT)
    page = (tmp_path / "one" / photo_examples.PAGE).read_text(encoding="utf-8")
    assert page == photo_examples.page(result) and page.count("\n| ") == len(PHOTOS) + 2
    for photo, row in zip(PHOTOS, result["photos"], strict=True):
        line = next(line for line in page.splitlines() if f"skimage.data.{photo.name}`" in line)
        for said in (photo.author, photo.licence, photo.question, row["description"], row["answer"]):
            assert said in line
    pictures = [(tmp_path / place / photo_examples.PICTURE).read_bytes() for place in ("one", "two")]
    assert pictures[0] == pictures[1]
    with Image.open(tmp_path / "one" / photo_examples.PICTURE) as drawn:
        assert drawn.width >= 1000
